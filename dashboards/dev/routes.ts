// Answers of the API, made from the made-up world.

import type { Approval, Case } from "../src/api/desk.ts";
import type { AgentView, Chain, EventDetail, EventView, Overview, Severity } from "../src/api/types.ts";
import { SEVERITIES } from "../src/api/types.ts";
import type { Story } from "./story.ts";
import { iso, sha, type Stored, type World } from "./world.ts";

function page<T>(items: T[], query: URLSearchParams): { items: T[]; next_cursor: string | null; incomplete: string | null } {
  const limit = Number(query.get("limit") ?? 50);
  const start = Number(query.get("cursor") ?? 0);
  const end = start + limit;
  return { items: items.slice(start, end), next_cursor: end < items.length ? String(end) : null, incomplete: null };
}

function within(time: string | null, query: URLSearchParams): boolean {
  const [from, to] = [query.get("from"), query.get("to")];
  const at = Date.parse(time ?? "");
  return (from === null || at >= Date.parse(from)) && (to === null || at <= Date.parse(to));
}

const has = (value: string | null, wanted: string | null) => wanted === null || value === wanted;
const contains = (value: unknown, text: string | null) =>
  text === null || text.toLowerCase().split(/\s+/).every((word) => JSON.stringify(value).toLowerCase().includes(word));

function searched({ view }: Stored, query: URLSearchParams): boolean {
  const fields: (keyof EventView)[] = ["agent", "task", "root_task", "tool", "kind", "severity"];
  return (
    fields.every((field) => has(view[field] as string | null, query.get(field))) &&
    within(view.time ?? view.recorded_at, query) &&
    contains([view.summary, view.data, view.agent], query.get("text"))
  );
}

function overview(world: World): Overview {
  const kinds: Record<string, number> = {};
  const severities: Partial<Record<Severity, number>> = {};
  for (const { view } of world.records) kinds[view.kind] = (kinds[view.kind] ?? 0) + 1;
  for (const { finding } of world.findings) severities[finding.severity] = (severities[finding.severity] ?? 0) + 1;
  const minute = Date.now() - 60_000;
  return {
    events: world.records.length,
    events_by_kind: kinds,
    events_last_minute: world.records.filter(({ view }) => Date.parse(view.time ?? "") > minute).length,
    agents: new Set(world.records.map(({ view }) => view.agent)).size - 1,
    tasks: world.tasks.size,
    findings_by_severity: severities,
    responses: { decided: kinds["response.decided"] ?? 0, attempted: kinds["response.attempted"] ?? 0, acknowledged: kinds["response.acknowledged"] ?? 0, dead_lettered: 0 },
    dead_letters: kinds["dead_letter"] ?? 0,
    shards: [...world.shards()].map(([shard, size]) => ({ shard: shard.replace(":", "/"), next_offset: size, tree_size: size, checkpoint_size: size - (size % 5 === 0 ? 2 : 0) })),
    table_version: 4711,
    newest_event_time: world.records.map(({ view }) => view.time ?? "").toSorted().at(-1) ?? null,
    notices: [],
  };
}

function agents(world: World): AgentView[] {
  const uids = [...new Set([...world.tasks.values()].map((task) => task.agent))];
  return uids.map((uid) => {
    const events = world.records.filter(({ view }) => view.agent === uid).map(({ view }) => view);
    const found = world.findings.filter((view) => view.finding.agent?.uid === uid);
    const tasks = [...world.tasks.values()].filter((task) => task.agent === uid);
    const times = events.map((event) => event.time ?? "").toSorted();
    return {
      uid,
      name: uid.split("/").at(-1) ?? uid,
      blueprint: `${(uid.split("/").at(-1) ?? "").replace(/-\d+$/, "")}@1`,
      first_seen: times[0] ?? null,
      last_seen: times.at(-1) ?? null,
      tool_calls: events.filter((event) => event.kind === "tool_call.requested").length,
      findings: found.length,
      worst_severity: SEVERITIES.find((level) => found.some((view) => view.finding.severity === level)) ?? null,
      tasks: tasks.length,
      open_tasks: tasks.filter((task) => task.closed === null).length,
    };
  });
}

function chain(world: World, root: string): Chain {
  const tasks = [...world.tasks.values()].filter((task) => task.root === root);
  const records = world.records.filter(({ view }) => view.root_task === root);
  const ids = new Set(records.map(({ view }) => view.ref));
  return {
    root_task: root,
    purpose: world.tasks.get(root)?.purpose ?? null,
    tasks: tasks.map((task) => ({ id: task.id, parent: task.parent, agent: task.agent, envelope: `env-${task.id}`, closed: task.closed === null ? null : iso(task.closed), outcome: task.outcome })),
    nodes: records.map(({ view, title, verdict }) => ({ id: view.ref, kind: view.kind, time: view.time, agent: view.agent, task: view.task, tool: view.tool, title, detail: view.summary, severity: view.severity, verdict })),
    edges: world.edges.filter((edge) => ids.has(edge.from) && ids.has(edge.to)),
    findings: world.findings.filter((view) => view.finding.task?.root_id === root),
    truncated: false,
    next_cursor: null,
  };
}

/** Every response that would end a tree waits for a second person. */
function approvals(world: World): Approval[] {
  return world.findings.slice(0, 4).map(({ finding, ref }, index) => ({
    id: `rsp-${sha(finding.id).slice(0, 32)}`, ref, tenant: "acme", action: "revoke_tree", reason: index % 2 === 0 ? "blast_radius" : "budget", finding: finding.id,
    state: index === 0 ? "waiting" : index === 1 ? "denied" : "approved", agent: finding.agent?.uid ?? null, task: finding.task?.id ?? null, root_task: finding.task?.root_id ?? null,
    credentials: finding.credentials ?? [], credentials_hit: 41, tasks_hit: 12, asked_at: finding.time, expires_at: iso(Date.parse(finding.time) + 3_600_000), approvals: 2,
    rulings: [{ author: "kim", approves: index !== 1, reason: "it pays strangers", time: finding.time }],
  }));
}

function cases(world: World): Case[] {
  return world.findings.slice(0, 2).map(({ finding }, index) => ({
    id: `case-${index}`, tenant: "acme", title: finding.title, state: index === 0 ? "open" : "closed", assignee: index === 0 ? null : "kim", opened_by: "sam", opened_at: finding.time,
    changed_by: "sam", changed_at: finding.time, findings: [finding.id], notes: [{ author: "sam", time: finding.time, text: "it begins here" }],
  }));
}

function checkpointText(shard: string, size: number): string {
  const root = Buffer.from(sha(shard + size), "hex").toString("base64");
  return `acme.example/ambit/${shard}\n${size}\n${root}\n\n— acme.example/ambit ${Buffer.from(sha(root) + sha(shard), "hex").toString("base64")}\n`;
}

function detail(world: World, ref: string): EventDetail | null {
  const found = world.records.find(({ view }) => view.ref === ref);
  if (found === undefined) return null;
  const { view } = found;
  const shard = `${view.topic}/${view.partition}`;
  const size = world.shards().get(`${view.topic}:${view.partition}`) ?? 0;
  const hashes = Array.from({ length: Math.ceil(Math.log2(size + 1)) }, (_, index) => sha(`${ref}${index}`));
  return {
    event: view,
    headers: found.headers,
    raw_base64: found.raw,
    proof: { leaf_hash: sha(ref), leaf_index: view.offset ?? 0, tree_size: size, root: sha(shard + size), hashes, checkpoint: checkpointText(shard, size), origin: `acme.example/ambit/${shard}`, verified: true },
  };
}

/** The answer to a path below /api/v1/; null when there is nothing there. */
export function answer({ world }: Story, path: string[], query: URLSearchParams): unknown {
  const [resource, id, part] = path;
  if (resource === "me") return { name: "dev", roles: ["admin"], tenant: null, may: ["read", "investigate", "triage", "suppress", "respond", "trail"] };
  if (resource === "approvals" || resource === "cases") {
    const all: (Approval | Case)[] = resource === "approvals" ? approvals(world) : cases(world);
    return id === undefined ? page(all, query) : (all.find((one) => one.id === id) ?? null);
  }
  if (resource === "searches") return page([], query);
  if (resource === "overview") return overview(world);
  if (resource === "events" && id !== undefined) return detail(world, id);
  if (resource === "events") {
    const found = world.records.filter((record) => searched(record, query)).map(({ view }) => view);
    const sign = query.get("order") === "asc" ? 1 : -1;
    return page(found.toSorted((a, b) => sign * (a.time ?? a.recorded_at ?? "").localeCompare(b.time ?? b.recorded_at ?? "")), query);
  }
  if (resource === "findings" && id !== undefined) return world.findings.find((view) => view.finding.id === id) ?? null;
  if (resource === "findings") {
    const found = world.findings.filter(
      ({ finding }) =>
        has(finding.severity, query.get("severity")) && has(finding.rule.id, query.get("rule")) && has(finding.agent?.uid ?? null, query.get("agent")) &&
        has(finding.task?.id ?? null, query.get("task")) && within(finding.time, query) && contains(finding, query.get("text")),
    );
    return page(found, query);
  }
  if (resource === "tasks" && id !== undefined && part === "chain") return chain(world, id);
  if (resource === "agents" && id !== undefined) {
    const agent = agents(world).find((candidate) => candidate.uid === id);
    if (agent === undefined) return null;
    const tasks = [...world.tasks.values()].filter((task) => task.agent === id).toReversed().slice(0, 20);
    return { ...agent, recent_tasks: tasks.map((task) => ({ root_task: task.root, purpose: task.purpose, started: iso(task.started), last_event: iso(task.closed ?? task.started), findings: world.findings.filter((view) => view.finding.task?.id === task.id).length, outcome: task.outcome })) };
  }
  if (resource === "agents") return page(agents(world), query);
  if (resource === "dead-letters") {
    const dead = world.records.filter(({ view }) => view.kind === "dead_letter").toReversed();
    return page(dead.map(({ view, raw }) => ({ ref: view.ref, shard: `${view.topic}/${view.partition}`, offset: view.offset, broker_time: view.recorded_at, recorded_at: view.recorded_at, reason: view.reason, detail: "expected a value at line 1 column 39", size: Buffer.from(raw ?? "", "base64").length, raw_base64: raw, truncated: false })), query);
  }
  if (resource === "checkpoints") {
    return page([...world.shards()].map(([key, size]) => ({ shard: key.replace(":", "/"), origin: `acme.example/ambit/${key.replace(":", "/")}`, size, root: sha(key.replace(":", "/") + size), text: checkpointText(key.replace(":", "/"), size) })), query);
  }
  return null;
}
