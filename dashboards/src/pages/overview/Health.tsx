// What kinds of events there are, and whether the pipeline keeps up.

import type { Overview } from "../../api/types";
import { Panel } from "../../components/Panel";
import { Value } from "../../components/Value";
import { formatCount, formatShard } from "../../format/text";
import { href } from "../../state/router";

export function Kinds({ counts }: { counts: Record<string, number> }) {
  const rows = Object.entries(counts).toSorted((a, b) => b[1] - a[1]);
  const top = Math.max(...rows.map(([, count]) => count), 1);
  return (
    <Panel title="Events by kind">
      <ul className="bars">
        {rows.map(([kind, count]) => (
          <li key={kind}>
            <a className="mono clip" href={href("/search", { kind })} title={`Search for ${kind}`}>
              {kind}
            </a>
            <span className="track">
              <span className="fill" style={{ display: "block", width: `${(count / top) * 100}%` }} />
            </span>
            <span className="number">{formatCount(count)}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function Health({ counts }: { counts: Overview }) {
  return (
    <Panel
      title="Pipeline"
      flush
      actions={
        <span className="muted">
          Table version {counts.table_version === null ? "unknown" : formatCount(counts.table_version)}
        </span>
      }
    >
      <table className="table compact">
        <thead>
          <tr>
            <th scope="col">Shard</th>
            <th scope="col" className="number">Next offset</th>
            <th scope="col" className="number">Tree size</th>
            <th scope="col" className="number">Checkpoint</th>
            <th scope="col">Ledger</th>
          </tr>
        </thead>
        <tbody>
          {counts.shards.map((shard) => {
            const behind = shard.tree_size - (shard.checkpoint_size ?? 0);
            return (
              <tr key={formatShard(shard.shard)}>
                <td className="mono">
                  <Value value={formatShard(shard.shard)} />
                </td>
                <td className="number">{formatCount(shard.next_offset)}</td>
                <td className="number">{formatCount(shard.tree_size)}</td>
                <td className="number">{shard.checkpoint_size === null ? "none" : formatCount(shard.checkpoint_size)}</td>
                <td>
                  {behind <= 0 ? (
                    <span className="badge good">Sealed</span>
                  ) : (
                    <span className="badge medium">{formatCount(behind)} to seal</span>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {counts.shards.length === 0 && <p className="foot">No shard has been stored yet.</p>}
    </Panel>
  );
}
