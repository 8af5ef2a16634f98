// The API's resources, one function each.

import { refuseToken, token } from "../state/token";
import type { Approval, Case, CaseChange, CaseOpening, Me, SavedSearch, SuppressionRequest } from "./desk";
import { fillAgent, fillChain, fillEvent, fillFinding, fillOverview } from "./fill";
import { createDelete, createGet, createPost, type Delete, type Get, type Post, type Query } from "./http";
import type {
  AgentDetail,
  AgentTask,
  AgentView,
  Chain,
  Checkpoint,
  DeadLetter,
  EventDetail,
  EventView,
  FindingView,
  Overview,
  Page,
  TriageChange,
} from "./types";

const get: Get = createGet({ token, onUnauthorized: refuseToken });
const post: Post = createPost({ token, onUnauthorized: refuseToken });
const take: Delete = createDelete({ token, onUnauthorized: refuseToken });
const root = "api/v1";
const one = encodeURIComponent;

/** A list, each of its items made whole. */
async function list<T, R = T>(path: string, query: Query, signal: AbortSignal | undefined, fill: (item: R) => T): Promise<Page<T>> {
  const page = await get<Partial<Page<R>>>(`${root}/${path}`, query, signal);
  return { items: (page.items ?? []).map((item) => fill(item)), next_cursor: page.next_cursor ?? null, incomplete: page.incomplete ?? null };
}

const whole = <T>(item: T): T => item;

export interface AgentPage {
  agent: AgentView;
  tasks: AgentTask[];
}

/** Tells the agent's count of tasks from its list of tasks. */
export function splitAgent(detail: AgentDetail): AgentPage {
  const tasks = detail.recent_tasks ?? (Array.isArray(detail.tasks) ? detail.tasks : []);
  const count = Array.isArray(detail.tasks) ? detail.tasks.length : detail.tasks;
  return { agent: { ...fillAgent(detail), tasks: count }, tasks };
}

async function event(ref: string, signal?: AbortSignal): Promise<EventDetail> {
  const detail = await get<EventDetail>(`${root}/events/${one(ref)}`, { proof: "true" }, signal);
  return { ...detail, event: fillEvent(detail.event), headers: detail.headers ?? {}, proof: detail.proof ?? null };
}

/** How things stand after something was said. */
async function now<T>(path: string, body: unknown): Promise<T> {
  return (await post<{ now: T }>(`${root}/${path}`, body)).now;
}

export const api = {
  me: (signal?: AbortSignal) => get<Me>(`${root}/me`, {}, signal),
  overview: async (signal?: AbortSignal) => fillOverview(await get<Partial<Overview>>(`${root}/overview`, {}, signal)),
  events: (query: Query, signal?: AbortSignal) => list<EventView>("events", query, signal, fillEvent),
  event,
  findings: (query: Query, signal?: AbortSignal) => list<FindingView>("findings", query, signal, fillFinding),
  finding: async (id: string, signal?: AbortSignal) =>
    fillFinding(await get<FindingView>(`${root}/findings/${one(id)}`, {}, signal)),
  triage: async (id: string, change: TriageChange) => fillFinding(await now<FindingView>(`findings/${one(id)}/triage`, change)),
  suppress: (request: SuppressionRequest) => now<unknown>("suppressions", request),
  endSuppression: (id: string, reason: string) => now<unknown>(`suppressions/${one(id)}/end`, { reason }),
  approvals: (signal?: AbortSignal) => list<Approval>("approvals", {}, signal, whole),
  approval: (id: string, signal?: AbortSignal) => get<Approval>(`${root}/approvals/${one(id)}`, {}, signal),
  rule: (id: string, approves: boolean, reason: string) =>
    now<Approval>(`responses/${one(id)}/${approves ? "approve" : "deny"}`, { reason }),
  cases: (signal?: AbortSignal) => list<Case>("cases", {}, signal, whole),
  openCase: (opening: CaseOpening) => now<Case>("cases", opening),
  changeCase: (id: string, change: CaseChange) => now<Case>(`cases/${one(id)}`, change),
  searches: (signal?: AbortSignal) => list<SavedSearch>("searches", {}, signal, whole),
  keepSearch: (name: string, query: string) => now<SavedSearch>("searches", { name, query }),
  removeSearch: (id: string) => take<unknown>(`${root}/searches/${one(id)}`),
  chain: async (task: string, query: Query, signal?: AbortSignal) => fillChain(await get<Chain>(`${root}/tasks/${one(task)}/chain`, query, signal)),
  around: async (ref: string, query: Query, signal?: AbortSignal) => fillChain(await get<Chain>(`${root}/events/${one(ref)}/chain`, query, signal)),
  agents: (signal?: AbortSignal) => list<AgentView>("agents", {}, signal, (agent) => fillAgent(agent)),
  agent: async (uid: string, signal?: AbortSignal) =>
    splitAgent(await get<AgentDetail>(`${root}/agents/${one(uid)}`, {}, signal)),
  deadLetters: (query: Query, signal?: AbortSignal) => list<DeadLetter>("dead-letters", query, signal, whole),
  checkpoints: (signal?: AbortSignal) => list<Checkpoint>("checkpoints", {}, signal, whole),
};
