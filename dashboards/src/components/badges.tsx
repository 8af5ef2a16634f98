// Severity and state, always as words; colour and shape only repeat them.

import type { ResponseView, Severity as Level } from "../api/types";
import { isHeld, RESPONSE_LABELS, responseState, wasRevokedBefore, type AgentState, type ResponseState } from "../format/response";
import { words } from "../format/text";

export function Severity({ level }: { level: Level }) {
  return <span className={`badge ${level}`}>{words(level)}</span>;
}

const RESPONSE_CLASS: Record<ResponseState, string> = {
  none: "",
  held: "medium",
  decided: "accent",
  pending: "medium",
  acknowledged: "good",
  dead_lettered: "critical",
};

/** What was asked for and how far it has come. */
export function Response({ response }: { response: ResponseView | null }) {
  const state = responseState(response);
  const action = response === null ? null : words(response.action);
  return (
    <span className="row tight">
      {action !== null && <span className="nowrap">{action}</span>}
      <span className={`badge ${RESPONSE_CLASS[state]}`}>{RESPONSE_LABELS[state]}</span>
      {response !== null && isHeld(response) && state !== "held" && (
        <span className="badge medium plain">{wasRevokedBefore(response) ? "Revoked before" : "Held back"}</span>
      )}
    </span>
  );
}

const AGENT_STATES: Record<AgentState, { label: string; tone: string }> = {
  inside: { label: "Inside envelope", tone: "good" },
  finding: { label: "Finding", tone: "high" },
  revoked: { label: "Revoked", tone: "critical" },
};

export function AgentBadge({ state }: { state: AgentState }) {
  return <span className={`badge ${AGENT_STATES[state].tone}`}>{AGENT_STATES[state].label}</span>;
}

export function Verdict({ verdict }: { verdict: "inside" | "outside" }) {
  const outside = verdict === "outside";
  return <span className={`badge ${outside ? "critical" : "good"}`}>{outside ? "Outside envelope" : "Inside envelope"}</span>;
}
