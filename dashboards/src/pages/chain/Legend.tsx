// What the lines of the graph mean; only those that are drawn.

import { EDGE_KINDS, type Chain, type EdgeKind } from "../../api/types";

const MEANINGS: Record<EdgeKind, string> = {
  calls: "calls",
  completes: "completes",
  uses: "uses a credential",
  issues: "issues a credential",
  delegates: "delegates",
  approves: "approves",
  finds: "leads to a finding",
  responds: "asks for a response",
  delivers: "delivers it",
};

export function Legend({ chain }: { chain: Chain }) {
  const used = new Set(chain.edges.map((edge) => edge.kind));
  const shown = EDGE_KINDS.filter((kind) => used.has(kind));
  return (
    <div className="legend" aria-label="Legend" role="group">
      {shown.map((kind) => (
        <span key={kind}>
          <svg viewBox="0 0 26 8" aria-hidden="true">
            <path className={`edge ${kind}`} d="M0,4 L25,4" />
          </svg>
          {MEANINGS[kind]}
        </span>
      ))}
      <span>
        <span className="badge critical">Outside</span> left its envelope
      </span>
    </div>
  );
}
