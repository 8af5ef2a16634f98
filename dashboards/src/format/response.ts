// In one word: how far the response to a finding has come.

import type { FindingView, ResponseView } from "../api/types";
import { between } from "./time";

export type ResponseState = "none" | "held" | "decided" | "pending" | "acknowledged" | "dead_lettered";

export const RESPONSE_LABELS: Record<ResponseState, string> = {
  none: "No response",
  held: "Held back",
  decided: "Decided",
  pending: "Pending",
  acknowledged: "Acknowledged",
  dead_lettered: "Dead letter",
};

/** A delivery that was given up outweighs one that is under way, which outweighs those that arrived. */
export function responseState(response: ResponseView | null): ResponseState {
  if (response === null) return "none";
  const states = new Set(response.deliveries.map((delivery) => delivery.state));
  if (states.has("dead_lettered")) return "dead_lettered";
  if (states.has("pending")) return "pending";
  if (states.has("acknowledged")) return "acknowledged";
  return isHeld(response) ? "held" : "decided";
}

export function isHeld(response: ResponseView): boolean {
  return response.held_back !== null && response.held_back !== undefined;
}

const HELD_BECAUSE: Record<string, string> = {
  already: "because the task had been revoked already",
  maturity: "because the rule is not stable yet",
  budget: "because the revocation budget of the hour was spent",
  stop: "because automatic revocation is stopped",
};

/** Why a stronger action was not taken, as the end of a sentence. */
export function heldBecause(reason: string): string {
  return HELD_BECAUSE[reason] ?? `held back by ${reason}`;
}

/** Whether the stronger action was not taken only because it had happened before. */
export function wasRevokedBefore(response: ResponseView): boolean {
  return response.held_back?.reason === "already";
}

export function revokes(response: ResponseView | null): boolean {
  return response !== null && response.action.startsWith("revoke_");
}

/** When the last receiver acknowledged; null until all have. */
export function acknowledgedAt(response: ResponseView | null): string | null {
  if (response === null || responseState(response) !== "acknowledged") return null;
  const times = response.deliveries.map((delivery) => delivery.acknowledged_at ?? "");
  return times.toSorted().at(-1) || null;
}

/** Milliseconds from the event that decided to the acknowledgement. */
export function timeToAcknowledge(view: FindingView): number | null {
  return between(view.finding.time, acknowledgedAt(view.response));
}

export type AgentState = "inside" | "finding" | "revoked";

/** Agents whose revocation a receiver has acknowledged, among these findings. */
export function revokedAgents(findings: FindingView[]): Set<string> {
  const revoked = new Set<string>();
  for (const { finding, response } of findings) {
    const taken = response?.deliveries.some((delivery) => delivery.state === "acknowledged") ?? false;
    if (revokes(response) && taken && finding.agent !== undefined) revoked.add(finding.agent.uid);
  }
  return revoked;
}

export function agentState(uid: string, findings: number, revoked: ReadonlySet<string>): AgentState {
  if (revoked.has(uid)) return "revoked";
  return findings > 0 ? "finding" : "inside";
}
