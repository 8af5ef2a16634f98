// The API's resources, one function each.

import { refuseToken, token } from "../state/token";
import { fillAgent, fillChain, fillEvent, fillFinding, fillOverview } from "./fill";
import { createGet, createPost, type Get, type Post, type Query } from "./http";
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
  const detail = await get<EventDetail>(`${root}/events/${one(ref)}`, {}, signal);
  return { ...detail, event: fillEvent(detail.event), headers: detail.headers ?? {}, proof: detail.proof ?? null };
}

export const api = {
  overview: async (signal?: AbortSignal) => fillOverview(await get<Partial<Overview>>(`${root}/overview`, {}, signal)),
  events: (query: Query, signal?: AbortSignal) => list<EventView>("events", query, signal, fillEvent),
  event,
  findings: (query: Query, signal?: AbortSignal) => list<FindingView>("findings", query, signal, fillFinding),
  finding: async (id: string, signal?: AbortSignal) =>
    fillFinding(await get<FindingView>(`${root}/findings/${one(id)}`, {}, signal)),
  triage: async (id: string, change: TriageChange) =>
    fillFinding((await post<{ now: FindingView }>(`${root}/findings/${one(id)}/triage`, change)).now),
  chain: async (task: string, signal?: AbortSignal) => fillChain(await get<Chain>(`${root}/tasks/${one(task)}/chain`, {}, signal)),
  agents: (signal?: AbortSignal) => list<AgentView>("agents", {}, signal, (agent) => fillAgent(agent)),
  agent: async (uid: string, signal?: AbortSignal) =>
    splitAgent(await get<AgentDetail>(`${root}/agents/${one(uid)}`, {}, signal)),
  deadLetters: (query: Query, signal?: AbortSignal) => list<DeadLetter>("dead-letters", query, signal, whole),
  checkpoints: (signal?: AbortSignal) => list<Checkpoint>("checkpoints", {}, signal, whole),
};
