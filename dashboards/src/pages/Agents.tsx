// All agents, with what they did and whether anything was found.

import { useState } from "react";
import { api } from "../api/client";
import type { AgentView } from "../api/types";
import { Severity } from "../components/badges";
import { TextFilter } from "../components/Filters";
import { Live } from "../components/Live";
import { PageHead } from "../components/Panel";
import { Banner, Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { ReachableContext, Value } from "../components/Value";
import { agentName, formatCount, plural } from "../format/text";
import { useListKeys } from "../state/keys";
import { useResource } from "../state/resource";
import { href, navigate, useQuery } from "../state/router";

const EVERY = 5;

const link = (agent: AgentView) => href(`/agents/${encodeURIComponent(agent.uid)}`);

export function Agents() {
  const [query, change] = useQuery();
  const [paused, setPaused] = useState(false);
  const resource = useResource("agents", (signal) => api.agents(signal), paused ? 0 : EVERY * 1000);
  const text = query.get("text") ?? "";
  const needle = text.toLowerCase();
  const shown = (resource.data?.items ?? [])
    .filter((agent) => [agent.uid, agent.name, agent.blueprint].join(" ").toLowerCase().includes(needle))
    .toSorted((a, b) => b.findings - a.findings || agentName(a.uid, a.name).localeCompare(agentName(b.uid, b.name)));
  const keys = useListKeys(shown.length, (index) => {
    const agent = shown[index];
    if (agent !== undefined) navigate(link(agent));
  });
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  const incomplete = resource.data?.incomplete ?? null;
  return (
    <>
      <PageHead title="Agents" about="Every workload identity that was seen, those with findings first">
        <Live resource={resource} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      <section className="panel" aria-label="Filters" role="search">
        <div className="filters">
          <TextFilter label="Text" wide value={text} placeholder="name, identity or blueprint   ( / )" take={(next) => change({ text: next })} />
        </div>
      </section>
      {incomplete !== null && <Banner>Results may be incomplete: {incomplete}</Banner>}
      <section className="panel" aria-label="Agents">
        <Resolve
          resource={resource}
          what="agents"
          empty={() =>
            shown.length > 0 ? null : (
              <Empty title="No agents here" icon="agents">
                <p>{text === "" ? "No event with an agent has been recorded." : `No agent's name contains “${text}”.`}</p>
              </Empty>
            )
          }
        >
          {() => (
            <>
              <div className="panel-body flush">
                <table className="table" aria-label="Agents">
                  <thead>
                    <tr>
                      <th scope="col">Agent</th>
                      <th scope="col">Blueprint</th>
                      <th scope="col" className="number">Tool calls</th>
                      <th scope="col" className="number">Tasks</th>
                      <th scope="col" className="number">Open</th>
                      <th scope="col" className="number">Findings</th>
                      <th scope="col">Worst</th>
                      <th scope="col">First seen</th>
                      <th scope="col">Last seen</th>
                    </tr>
                  </thead>
                  <tbody ref={body}>
                    {shown.map((agent, index) => (
                      <ReachableContext.Provider value={keys.active === index} key={agent.uid}>
                        <tr data-row="" tabIndex={0} onClick={() => navigate(link(agent))} onFocus={() => keys.setActive(index)}>
                          <td>
                            <Value field="agent" value={agent.uid}>
                              <a href={link(agent)} tabIndex={-1} className="strong">
                                {agentName(agent.uid, agent.name)}
                              </a>
                            </Value>
                            <br />
                            <span className="muted mono wrap">{agent.uid}</span>
                          </td>
                          <td>{agent.blueprint ?? <span className="faint">–</span>}</td>
                          <td className="number">{formatCount(agent.tool_calls)}</td>
                          <td className="number">{formatCount(agent.tasks)}</td>
                          <td className="number">{formatCount(agent.open_tasks)}</td>
                          <td className="number">{formatCount(agent.findings)}</td>
                          <td>{agent.worst_severity === null ? <span className="faint">none</span> : <Severity level={agent.worst_severity} />}</td>
                          <td>
                            <Time at={agent.first_seen} />
                          </td>
                          <td>
                            <Time at={agent.last_seen} form="age" />
                          </td>
                        </tr>
                      </ReachableContext.Provider>
                    ))}
                  </tbody>
                </table>
              </div>
              <div className="foot">
                <span role="status">{plural(shown.length, "agent")} shown, that is all</span>
              </div>
            </>
          )}
        </Resolve>
      </section>
    </>
  );
}
