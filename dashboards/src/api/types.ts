// What the HTTP API answers, field for field. Times are RFC 3339 texts in UTC; `ref` is `topic:partition:offset`.

export const SEVERITIES = ["critical", "high", "medium", "low", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** A shard is written `ambit.events/0`; inside a finding it is an object. */
export type Shard = string | { topic: string; partition: number };

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  /** Why the answer may not be whole, in words; null when it is. */
  incomplete: string | null;
}

export interface ShardStatus {
  shard: Shard;
  next_offset: number;
  tree_size: number;
  checkpoint_size: number | null;
}

export interface Overview {
  events: number;
  events_by_kind: Record<string, number>;
  events_last_minute: number;
  agents: number;
  tasks: number;
  findings_by_severity: Partial<Record<Severity, number>>;
  responses: { decided: number; attempted: number; acknowledged: number; dead_lettered: number };
  dead_letters: number;
  shards: ShardStatus[];
  table_version: number | null;
  newest_event_time: string | null;
  /** What whoever runs this should know, though nothing is wrong. */
  notices: string[];
}

export interface EventView {
  ref: string;
  topic: string;
  partition: number;
  /** Null for a token of one tenant. */
  offset: number | null;
  leaf_index: number | null;
  kind: string;
  time: string | null;
  recorded_at: string | null;
  id: string | null;
  source: string | null;
  tenant: string | null;
  agent: string | null;
  agent_name: string | null;
  task: string | null;
  root_task: string | null;
  parent_task: string | null;
  tool: string | null;
  tool_call: string | null;
  severity: Severity | null;
  rule: string | null;
  status: string | null;
  finding: string | null;
  duplicate: boolean;
  reason: string | null;
  summary: string;
  data: unknown;
}

export interface InclusionProof {
  leaf_hash: string;
  leaf_index: number;
  tree_size: number;
  root: string;
  hashes: string[];
  /** The signed checkpoint, a text of several lines (C2SP tlog-checkpoint). */
  checkpoint: string;
  origin: string;
  verified: boolean;
}

export interface EventDetail {
  event: EventView;
  headers: Record<string, string>;
  /** The value, base64, when it is not JSON. */
  raw_base64?: string | null;
  /** Null while the event is stored but not yet under a checkpoint. */
  proof: InclusionProof | null;
}

export interface ClauseRef {
  envelope_id: string;
  envelope_version: number;
  envelope_digest: string;
  pointer: string;
}

export interface EventRef {
  source: string;
  id: string;
  shard: Shard;
  offset: number;
}

export interface Finding {
  id: string;
  tenant_uid: string;
  rule: { id: string; version: number; maturity: string };
  severity: Severity;
  title: string;
  reason: string;
  clause?: ClauseRef;
  expected?: string;
  observed?: string;
  agent?: { uid: string; instance_uid?: string; blueprint?: string; name?: string };
  task?: { id: string; root_id: string; parent_id?: string };
  tool?: string;
  tool_call_id?: string;
  credentials?: string[];
  events: EventRef[];
  baseline?: { id: string; version: number };
  controls?: string[];
  time: string;
}

export interface Delivery {
  delivery_id: string;
  receiver: string;
  state: "pending" | "acknowledged" | "dead_lettered";
  attempts: number;
  last_status: number | null;
  last_error: string | null;
  acknowledged_at: string | null;
}

export interface ResponseView {
  action: string;
  held_back?: { action: string; reason: string } | null;
  decided_at: string | null;
  deliveries: Delivery[];
}

export const TRIAGE_STATES = ["open", "acknowledged", "closed"] as const;
export type TriageState = (typeof TRIAGE_STATES)[number];
export type Disposition = "true_positive" | "false_positive" | "benign";

/** What somebody wrote about a finding. */
export interface Note {
  author: string;
  time: string;
  text: string;
}

/** How a finding stands: what people did about it. */
export interface Triage {
  state: TriageState;
  disposition: Disposition | null;
  assignee: string | null;
  changed_by: string | null;
  changed_at: string | null;
  notes: Note[];
  suppressed: { id: string; until: string; reason: string; author: string } | null;
  cases: string[];
}

/** What is to be done about a finding. */
export interface TriageChange {
  state?: TriageState;
  disposition?: Disposition;
  /** Empty for nobody. */
  assignee?: string;
  note?: string;
}

export interface FindingView {
  ref: string;
  finding: Finding;
  response: ResponseView | null;
  triage: Triage;
}

export interface ChainTask {
  id: string;
  parent: string | null;
  agent: string | null;
  envelope: string | null;
  closed: string | null;
  outcome: string | null;
}

export interface ChainNode {
  id: string;
  kind: string;
  time: string | null;
  agent: string | null;
  task: string | null;
  tool: string | null;
  title: string;
  detail: string | null;
  severity: Severity | null;
  verdict: "inside" | "outside" | null;
}

export const EDGE_KINDS = [
  "calls",
  "completes",
  "uses",
  "issues",
  "delegates",
  "approves",
  "finds",
  "responds",
  "delivers",
] as const;
export type EdgeKind = (typeof EDGE_KINDS)[number];

export interface ChainEdge {
  from: string;
  to: string;
  kind: EdgeKind;
}

export interface Chain {
  root_task: string;
  purpose: string | null;
  tasks: ChainTask[];
  nodes: ChainNode[];
  edges: ChainEdge[];
  findings: FindingView[];
  /** Whether there is more of it than these nodes. */
  truncated: boolean;
  /** Where the next page begins. */
  next_cursor: string | null;
}

export interface AgentView {
  uid: string;
  name: string | null;
  blueprint: string | null;
  first_seen: string | null;
  last_seen: string | null;
  tool_calls: number;
  findings: number;
  worst_severity: Severity | null;
  tasks: number;
  open_tasks: number;
}

export interface AgentTask {
  root_task: string;
  purpose: string | null;
  started: string | null;
  last_event: string | null;
  findings: number;
  outcome: string | null;
}

/** The recent tasks stand beside the agent's own fields, under `recent_tasks` or, in older servers, `tasks`. */
export type AgentDetail = Omit<AgentView, "tasks"> & {
  tasks: number | AgentTask[];
  recent_tasks?: AgentTask[];
};

export interface DeadLetter {
  ref: string;
  shard: Shard;
  offset: number;
  broker_time: string | null;
  recorded_at: string | null;
  reason: string;
  detail?: string | null;
  size: number;
  raw_base64: string;
  truncated: boolean;
}

export interface Checkpoint {
  shard: Shard;
  origin: string;
  size: number;
  root: string;
  text: string;
}
