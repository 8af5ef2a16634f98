// What runs now: counts, agents and their state, newest findings, health. Refreshes every two seconds.

import { useState } from "react";
import { api } from "../api/client";
import type { AgentView, FindingView, Overview as Counts } from "../api/types";
import { Live } from "../components/Live";
import { PageHead, Panel } from "../components/Panel";
import { Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { plural } from "../format/text";
import { useFresh } from "../state/fresh";
import { useMe } from "../state/me";
import { useResource } from "../state/resource";
import { AgentStates } from "./overview/AgentStates";
import { Kinds, Health } from "./overview/Health";
import { Notices } from "./overview/Notices";
import { Newest } from "./overview/Newest";
import { Tiles } from "./overview/Tiles";

const EVERY = 2;
/** Findings that are read to know which agents were revoked; the newest of them are shown. */
const FINDINGS = 100;

interface Now {
  counts: Counts;
  agents: AgentView[];
  findings: FindingView[];
}

async function load(signal: AbortSignal): Promise<Now> {
  const [counts, agents, findings] = await Promise.all([
    api.overview(signal),
    api.agents(signal),
    api.findings({ limit: FINDINGS }, signal),
  ]);
  return { counts, agents: agents.items, findings: findings.items };
}

export function Overview() {
  const [paused, setPaused] = useState(false);
  const now = useResource("overview", load, paused ? 0 : EVERY * 1000);
  const me = useMe();
  // Shards and dead letters are of all tenants together.
  const wide = me === null || me.tenant === null;
  const fresh = useFresh(now.data?.findings.map((view) => view.finding.id) ?? null);
  return (
    <>
      <PageHead
        title="Overview"
        about={
          <>
            Newest event <Time at={now.data?.counts.newest_event_time} form="clock" />
          </>
        }
      >
        <Live resource={now} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      <Notices notices={now.data?.counts.notices ?? []} />
      <Resolve
        resource={now}
        what="the overview"
        empty={({ counts }) =>
          counts.events > 0 ? null : (
            <Panel title="Nothing has been recorded yet">
              <Empty title="No events" icon="overview">
                <p>Ambit is running and waits for events. They appear here about a second after they reach Kafka.</p>
              </Empty>
            </Panel>
          )
        }
      >
        {({ counts, agents, findings }) => (
          <>
            <Tiles counts={counts} since={fresh.since} wide={wide} />
            {fresh.count > 0 && (
              <div className="banner news" role="status">
                <span aria-hidden="true">●</span>
                <span>
                  {plural(fresh.count, "new finding")} since <Time at={new Date(fresh.since).toISOString()} />
                </span>
                <button type="button" className="button small" onClick={fresh.markSeen}>
                  Mark as seen
                </button>
              </div>
            )}
            <div className="grid two-one">
              <div className="grid">
                <Newest findings={findings} isNew={fresh.isNew} />
                {wide && <Health counts={counts} />}
              </div>
              <div className="grid">
                <AgentStates agents={agents} findings={findings} />
                <Kinds counts={counts.events_by_kind} />
              </div>
            </div>
          </>
        )}
      </Resolve>
    </>
  );
}
