// The API's resources, one function each.

import { refuseToken, token } from "../state/token";
import { createGet, type Get, type Query } from "./http";
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
} from "./types";

const get: Get = createGet({ token, onUnauthorized: refuseToken });
const root = "api/v1";
const one = encodeURIComponent;

/** A list from a server that leaves out what is null. */
async function list<T>(path: string, query: Query, signal?: AbortSignal): Promise<Page<T>> {
  const page = await get<Partial<Page<T>>>(`${root}/${path}`, query, signal);
  return { items: page.items ?? [], next_cursor: page.next_cursor ?? null, incomplete: page.incomplete ?? null };
}

export interface AgentPage {
  agent: Omit<AgentView, "tasks"> & { tasks: number };
  tasks: AgentTask[];
}

/** Tells the agent's count of tasks from its list of tasks. */
export function splitAgent(detail: AgentDetail): AgentPage {
  const tasks = detail.recent_tasks ?? (Array.isArray(detail.tasks) ? detail.tasks : []);
  const count = Array.isArray(detail.tasks) ? detail.tasks.length : detail.tasks;
  return { agent: { ...detail, tasks: count }, tasks };
}

export const api = {
  overview: (signal?: AbortSignal) => get<Overview>(`${root}/overview`, {}, signal),
  events: (query: Query, signal?: AbortSignal) => list<EventView>("events", query, signal),
  event: (ref: string, signal?: AbortSignal) => get<EventDetail>(`${root}/events/${one(ref)}`, {}, signal),
  findings: (query: Query, signal?: AbortSignal) => list<FindingView>("findings", query, signal),
  finding: (id: string, signal?: AbortSignal) => get<FindingView>(`${root}/findings/${one(id)}`, {}, signal),
  chain: (task: string, signal?: AbortSignal) => get<Chain>(`${root}/tasks/${one(task)}/chain`, {}, signal),
  agents: (signal?: AbortSignal) => list<AgentView>("agents", {}, signal),
  agent: async (uid: string, signal?: AbortSignal) =>
    splitAgent(await get<AgentDetail>(`${root}/agents/${one(uid)}`, {}, signal)),
  deadLetters: (query: Query, signal?: AbortSignal) => list<DeadLetter>("dead-letters", query, signal),
  checkpoints: (signal?: AbortSignal) => list<Checkpoint>("checkpoints", {}, signal),
};
