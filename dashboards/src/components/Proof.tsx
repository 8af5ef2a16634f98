// The inclusion proof of an event: whether it holds, and everything needed to check it elsewhere.

import type { InclusionProof } from "../api/types";
import { formatCount } from "../format/text";
import { CopyButton } from "./copy";
import { Value } from "./Value";

export function Proof({ proof }: { proof: InclusionProof | null }) {
  if (proof === null) {
    return (
      <section className="section" aria-label="Inclusion proof">
        <div className="spread">
          <h3>Inclusion proof</h3>
          <span className="badge medium">Not sealed yet</span>
        </div>
        <p className="muted">The event is stored; the next checkpoint of its shard will cover it.</p>
      </section>
    );
  }
  return (
    <section className="section" aria-label="Inclusion proof">
      <div className="spread">
        <h3>Inclusion proof</h3>
        <span className={`badge ${proof.verified ? "good" : "critical"}`}>{proof.verified ? "Verified" : "Does not verify"}</span>
      </div>
      <dl className="facts">
        <dt>Leaf</dt>
        <dd>
          {formatCount(proof.leaf_index)} of {formatCount(proof.tree_size)}
        </dd>
        <dt>Leaf hash</dt>
        <dd>
          <Value value={proof.leaf_hash} inward>
            <code>{proof.leaf_hash}</code>
          </Value>
        </dd>
        <dt>Root</dt>
        <dd>
          <Value value={proof.root} inward>
            <code>{proof.root}</code>
          </Value>
        </dd>
        <dt>Log</dt>
        <dd>{proof.origin}</dd>
        <dt>Path</dt>
        <dd>{proof.hashes.length === 0 ? "empty: the tree has one leaf" : `${proof.hashes.length} hashes`}</dd>
      </dl>
      <details>
        <summary>Checkpoint and path</summary>
        <div className="stack">
          <pre className="code hex">{proof.checkpoint}</pre>
          {proof.hashes.length > 0 && <pre className="code">{proof.hashes.join("\n")}</pre>}
        </div>
      </details>
      <span>
        <CopyButton text={JSON.stringify(proof, null, 2)} label="Copy proof" />
      </span>
    </section>
  );
}
