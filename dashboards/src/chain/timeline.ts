// An action chain as a timeline: one row per call or event, with a bar from request to answer.

import type { Chain, ChainNode } from "../api/types";
import { inOrder, taskTree } from "./layout";

export interface Row {
  node: ChainNode;
  /** The node that answers it, where there is one. */
  end: ChainNode | null;
  depth: number;
  /** Milliseconds since the start of the chain. */
  start: number;
  /** Milliseconds; null for what has no length. */
  length: number | null;
}

export interface Timeline {
  rows: Row[];
  /** Start of the chain, in milliseconds since 1970; null when no node has a time. */
  origin: number | null;
  /** Length of the chain, in milliseconds, at least 1. */
  span: number;
}

function millis(node: ChainNode): number {
  return node.time === null ? Number.NaN : Date.parse(node.time);
}

export function timelineOf(chain: Chain): Timeline {
  const nodes = inOrder(chain.nodes);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const answers = new Map<string, ChainNode>();
  const folded = new Set<string>();
  for (const edge of chain.edges) {
    const to = byId.get(edge.to);
    if (edge.kind !== "completes" || to === undefined) continue;
    // The edge runs from the request to its answer; a server that draws it the other way is understood too.
    const from = byId.get(edge.from);
    if (from === undefined) continue;
    const [request, answer] = to.kind.endsWith(".requested") ? [to, from] : [from, to];
    if (answers.has(request.id)) continue;
    answers.set(request.id, answer);
    folded.add(answer.id);
  }
  const depths = new Map(taskTree(chain.tasks).map(({ task, depth }) => [task.id, depth]));
  const times = nodes.map(millis).filter((time) => !Number.isNaN(time));
  const origin = times.length === 0 ? null : Math.min(...times);
  const last = times.length === 0 ? 0 : Math.max(...times);
  const rows: Row[] = [];
  for (const node of nodes) {
    if (folded.has(node.id)) continue;
    const end = answers.get(node.id) ?? null;
    const time = millis(node);
    const length = end === null ? null : millis(end) - time;
    rows.push({
      node,
      end,
      depth: depths.get(node.task ?? "") ?? 0,
      start: origin === null || Number.isNaN(time) ? 0 : time - origin,
      length: length === null || Number.isNaN(length) ? null : Math.max(0, length),
    });
  }
  return { rows, origin, span: Math.max(1, last - (origin ?? 0)) };
}

/** Round steps for the axis: at most `most` of them over the span. */
export function ticks(span: number, most = 6): number[] {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power * 10;
  const found: number[] = [];
  for (let at = 0; at <= span; at += step) found.push(at);
  return found;
}

/** Whether a node answers a search: all words somewhere in what is known of it. */
export function matches(node: ChainNode, text: string): boolean {
  const needle = text.trim().toLowerCase();
  if (needle === "") return false;
  const hay = [node.kind, node.title, node.detail, node.tool, node.agent, node.task, node.severity, node.verdict, node.id]
    .join(" ")
    .toLowerCase();
  return needle.split(/\s+/).every((word) => hay.includes(word));
}
