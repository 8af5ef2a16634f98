// A small made-up world for developing the console: records as a server would hold them. Never part of the build.

import { createHash } from "node:crypto";
import type { EventView, FindingView, Severity } from "../src/api/types.ts";

export interface Stored {
  view: EventView;
  headers: Record<string, string>;
  raw: string | null;
  /** Why it is what it is, in a chain. */
  verdict: "inside" | "outside" | null;
  title: string;
}

export interface Task {
  id: string;
  root: string;
  parent: string | null;
  agent: string;
  purpose: string;
  started: number;
  closed: number | null;
  outcome: string | null;
}

export interface Edge {
  from: string;
  to: string;
  kind: "calls" | "completes" | "delegates" | "approves" | "finds" | "responds" | "delivers" | "issues" | "uses";
}

export const sha = (text: string) => createHash("sha256").update(text).digest("hex");
export const iso = (time: number) => new Date(time).toISOString().replace("Z", "417Z");

/** A small seeded generator (mulberry32): the same world each time. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

interface Context {
  agent: string;
  task: Task;
  tool?: string;
  call?: string;
  severity?: Severity;
  rule?: string;
  status?: string;
  finding?: string;
  verdict?: "inside" | "outside";
  title?: string;
}

export class World {
  readonly records: Stored[] = [];
  readonly tasks = new Map<string, Task>();
  readonly edges: Edge[] = [];
  readonly findings: FindingView[] = [];
  private readonly offsets = new Map<string, number>();

  /** Records an event and gives its ref. */
  emit(kind: string, time: number, context: Context | null, data: unknown, summary: string, raw: string | null = null): string {
    const topic = kind.startsWith("finding.") ? "ambit.findings" : /^(response|revocation)\./.test(kind) ? "ambit.responses" : "ambit.events";
    const root = context?.task.root ?? "lost";
    const partition = Number.parseInt(sha(root).slice(0, 4), 16) % 2;
    const shard = `${topic}:${partition}`;
    const offset = this.offsets.get(shard) ?? 0;
    this.offsets.set(shard, offset + 1);
    const ref = `${shard}:${offset}`;
    const dead = context === null;
    const name = context?.agent.split("/").at(-1) ?? null;
    const view: EventView = {
      ref, topic, partition, offset, leaf_index: offset, kind,
      time: dead ? null : iso(time),
      recorded_at: iso(time + 640),
      id: dead ? null : `evt-${sha(ref).slice(0, 16)}`,
      source: dead ? null : topic === "ambit.events" ? "ambit/simulator" : topic === "ambit.findings" ? "ambit/analyzer" : "ambit/enforcement",
      tenant: dead ? null : "acme",
      agent: context?.agent ?? null,
      agent_name: name,
      task: context?.task.id ?? null,
      root_task: context?.task.root ?? null,
      parent_task: context?.task.parent ?? null,
      tool: context?.tool ?? null,
      tool_call: context?.call ?? null,
      severity: context?.severity ?? null,
      rule: context?.rule ?? null,
      status: context?.status ?? null,
      finding: context?.finding ?? null,
      duplicate: false,
      reason: dead ? "malformed_json" : null,
      summary,
      data: dead ? null : data,
    };
    const headers: Record<string, string> = dead
      ? { "content-type": "application/json" }
      : { ce_specversion: "1.0", ce_id: view.id ?? "", ce_source: view.source ?? "", ce_type: `ambit.${kind}.v1`, ce_time: view.time ?? "", ce_subject: context.agent, "content-type": "application/json" };
    this.records.push({ view, headers, raw, verdict: context?.verdict ?? null, title: context?.title ?? summary });
    return ref;
  }

  link(kind: Edge["kind"], from: string | null, to: string): void {
    if (from !== null) this.edges.push({ from, to, kind });
  }

  shards(): Map<string, number> {
    return this.offsets;
  }
}
