// The signed checkpoint of every shard, as an auditor needs it.

import { useState } from "react";
import { api } from "../api/client";
import type { Checkpoint, ShardStatus } from "../api/types";
import { CopyButton } from "../components/copy";
import { Live } from "../components/Live";
import { PageHead, Panel } from "../components/Panel";
import { Banner, Empty, Resolve } from "../components/states";
import { Value } from "../components/Value";
import { formatCount, formatShard } from "../format/text";
import { useResource } from "../state/resource";
import { href } from "../state/router";

const EVERY = 5;

export function Integrity() {
  const [paused, setPaused] = useState(false);
  const resource = useResource(
    "integrity",
    async (signal) => {
      const [checkpoints, overview] = await Promise.all([api.checkpoints(signal), api.overview(signal)]);
      return { checkpoints, shards: overview.shards };
    },
    paused ? 0 : EVERY * 1000,
  );
  const incomplete = resource.data?.checkpoints.incomplete ?? null;
  return (
    <>
      <PageHead
        title="Integrity"
        about={
          <>
            One Merkle log per shard; a checkpoint is its signed head. Keep them elsewhere too, and check the store with{" "}
            <code>ambit verify</code>.
          </>
        }
      >
        <Live resource={resource} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      {incomplete !== null && <Banner>Results may be incomplete: {incomplete}</Banner>}
      <Resolve
        resource={resource}
        what="checkpoints"
        empty={({ checkpoints }) =>
          checkpoints.items.length > 0 ? null : (
            <Panel title="Checkpoints">
              <Empty title="No checkpoint yet" icon="integrity">
                <p>The first one is signed after the first commit of a shard.</p>
              </Empty>
            </Panel>
          )
        }
      >
        {({ checkpoints, shards }) => (
          <div className="grid one-one">
            {checkpoints.items.map((checkpoint) => (
              <Head
                key={formatShard(checkpoint.shard)}
                checkpoint={checkpoint}
                status={shards.find((shard) => formatShard(shard.shard) === formatShard(checkpoint.shard)) ?? null}
              />
            ))}
          </div>
        )}
      </Resolve>
    </>
  );
}

function Head({ checkpoint, status }: { checkpoint: Checkpoint; status: ShardStatus | null }) {
  const behind = status === null ? 0 : status.tree_size - checkpoint.size;
  return (
    <Panel
      title={formatShard(checkpoint.shard)}
      actions={
        <span className={`badge ${behind > 0 ? "medium" : "good"}`}>
          {behind > 0 ? `${formatCount(behind)} to seal` : "All stored events sealed"}
        </span>
      }
    >
      <div className="stack">
        <dl className="facts">
          <dt>Log</dt>
          <dd>
            <Value value={checkpoint.origin} />
          </dd>
          <dt>Events sealed</dt>
          <dd>{formatCount(checkpoint.size)}</dd>
          <dt>Root</dt>
          <dd>
            <Value value={checkpoint.root} inward>
              <code>{checkpoint.root}</code>
            </Value>
          </dd>
        </dl>
        <pre className="code hex" tabIndex={0} aria-label={`Checkpoint of ${formatShard(checkpoint.shard)}`}>
          {checkpoint.text}
        </pre>
        <span className="row">
          <CopyButton text={checkpoint.text} label="Copy checkpoint" />
          <a className="button small quiet" href={href("/search")}>
            Pick an event and see its proof
          </a>
        </span>
      </div>
    </Panel>
  );
}
