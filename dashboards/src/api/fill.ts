// A server may leave out what is null. Here it is put back, so that pages meet null and never undefined.

import type { AgentView, Chain, ChainNode, ChainTask, Delivery, EventView, FindingView, Overview, Triage } from "./types";

/** What an answer really is: fields that are null in the contract may be missing. */
type Sparse<T> = { [K in keyof T as null extends T[K] ? K : never]?: T[K] } & { [K in keyof T as null extends T[K] ? never : K]: T[K] };

const EVENT = {
  offset: null, leaf_index: null, time: null, recorded_at: null, id: null, source: null, tenant: null, agent: null, agent_name: null, task: null,
  root_task: null, parent_task: null, tool: null, tool_call: null, severity: null, rule: null, status: null, finding: null, reason: null,
  data: null, duplicate: false,
};
const DELIVERY = { last_status: null, last_error: null, acknowledged_at: null };
const TASK = { parent: null, agent: null, envelope: null, closed: null, outcome: null };
const NODE = { time: null, agent: null, task: null, tool: null, detail: null, severity: null, verdict: null };
const AGENT = { name: null, blueprint: null, first_seen: null, last_seen: null, worst_severity: null };
const RESPONSES = { decided: 0, attempted: 0, acknowledged: 0, dead_lettered: 0 };

export function fillEvent(event: Sparse<EventView>): EventView {
  return Object.assign({}, EVENT, event);
}

export function fillAgent<T extends Sparse<Omit<AgentView, "tasks">>>(agent: T): T & Omit<AgentView, "tasks"> {
  return Object.assign({}, AGENT, agent);
}

/** How a finding stands that nobody has done anything about. */
export const UNTOUCHED: Triage = {
  state: "open", disposition: null, assignee: null, changed_by: null, changed_at: null, notes: [], suppressed: null, cases: [],
};

export function fillFinding(given: Sparse<Omit<FindingView, "triage">> & { triage?: Partial<Triage> }): FindingView {
  const view = { ...given, triage: { ...UNTOUCHED, ...given.triage } };
  const response = view.response ?? null;
  if (response === null) return { ...view, response };
  const deliveries = (response.deliveries ?? []).map((delivery: Sparse<Delivery>): Delivery => Object.assign({}, DELIVERY, delivery));
  return { ...view, response: { ...response, decided_at: response.decided_at ?? null, deliveries } };
}

export function fillChain(chain: Sparse<Chain>): Chain {
  return {
    ...chain,
    purpose: chain.purpose ?? null,
    next_cursor: chain.next_cursor ?? null,
    tasks: chain.tasks.map((task: Sparse<ChainTask>): ChainTask => Object.assign({}, TASK, task)),
    nodes: chain.nodes.map((node: Sparse<ChainNode>): ChainNode => Object.assign({}, NODE, node)),
    findings: chain.findings.map(fillFinding),
  };
}

export function fillOverview(overview: Partial<Overview>): Overview {
  const empty: Overview = {
    events: 0, events_by_kind: {}, events_last_minute: 0, agents: 0, tasks: 0, findings_by_severity: {}, responses: RESPONSES,
    dead_letters: 0, shards: [], table_version: null, newest_event_time: null, notices: [],
  };
  return { ...empty, ...overview };
}
