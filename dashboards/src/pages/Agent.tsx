// One agent: its tasks, its findings, its recent events.

import { useState } from "react";
import { api, type AgentPage as Loaded } from "../api/client";
import type { EventView, FindingView, Page } from "../api/types";
import { Response, Severity } from "../components/badges";
import { Live } from "../components/Live";
import { PageHead, Panel } from "../components/Panel";
import { Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { Value } from "../components/Value";
import { AgentBadge } from "../components/badges";
import { agentState, revokedAgents } from "../format/response";
import { agentName, formatCount, words } from "../format/text";
import { useResource } from "../state/resource";
import { href } from "../state/router";

const EVERY = 5;

interface Everything extends Loaded {
  findings: Page<FindingView>;
  events: Page<EventView>;
}

export function AgentPage({ uid }: { uid: string }) {
  const [paused, setPaused] = useState(false);
  const resource = useResource<Everything>(
    `agent ${uid}`,
    async (signal) => {
      const [agent, findings, events] = await Promise.all([
        api.agent(uid, signal),
        api.findings({ agent: uid, limit: 20 }, signal),
        api.events({ agent: uid, limit: 20 }, signal),
      ]);
      return { ...agent, findings, events };
    },
    paused ? 0 : EVERY * 1000,
  );
  const agent = resource.data?.agent;
  const state = agent === undefined ? null : agentState(uid, agent.findings, revokedAgents(resource.data?.findings.items ?? []));
  return (
    <>
      <PageHead
        title={
          <span className="row">
            {agentName(uid, agent?.name)} {state !== null && <AgentBadge state={state} />}
          </span>
        }
        about={
          <Value field="agent" value={uid}>
            <code>{uid}</code>
          </Value>
        }
      >
        <a className="button" href={href("/search", { agent: uid })}>
          Search its events
        </a>
        <Live resource={resource} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      <Resolve resource={resource} what="the agent">
        {(data) => (
          <>
            <Figures data={data} />
            <div className="grid two-one">
              <Tasks tasks={data.tasks} />
              <AgentFindings uid={uid} findings={data.findings} />
            </div>
            <RecentEvents uid={uid} events={data.events.items} />
          </>
        )}
      </Resolve>
    </>
  );
}

function Figures({ data: { agent } }: { data: Loaded }) {
  return (
    <section className="panel panel-body" aria-label="Figures">
      <dl className="figures">
        <div>
          <dt>Blueprint</dt>
          <dd>{agent.blueprint ?? "not known"}</dd>
        </div>
        <div>
          <dt>Tool calls</dt>
          <dd>{formatCount(agent.tool_calls)}</dd>
        </div>
        <div>
          <dt>Tasks</dt>
          <dd>
            {formatCount(agent.tasks)}, {formatCount(agent.open_tasks)} open
          </dd>
        </div>
        <div>
          <dt>Findings</dt>
          <dd className="row tight">
            {formatCount(agent.findings)} {agent.worst_severity !== null && <Severity level={agent.worst_severity} />}
          </dd>
        </div>
        <div>
          <dt>First seen</dt>
          <dd>
            <Time at={agent.first_seen} />
          </dd>
        </div>
        <div>
          <dt>Last seen</dt>
          <dd>
            <Time at={agent.last_seen} />
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Tasks({ tasks }: { tasks: Loaded["tasks"] }) {
  return (
    <Panel title="Recent tasks" flush>
      {tasks.length === 0 ? (
        <Empty title="No tasks" icon="chains">
          <p>This agent has acted without a task.</p>
        </Empty>
      ) : (
        <table className="table" aria-label="Recent tasks">
          <thead>
            <tr>
              <th scope="col">Task</th>
              <th scope="col">Started</th>
              <th scope="col" className="number">Findings</th>
              <th scope="col">Outcome</th>
            </tr>
          </thead>
          <tbody>
            {tasks.map((task) => (
              <tr key={task.root_task}>
                <td className="wrap">
                  <a href={href(`/chains/${encodeURIComponent(task.root_task)}`)}>{task.purpose ?? task.root_task}</a>
                  <br />
                  <span className="muted mono">{task.root_task}</span>
                </td>
                <td>
                  <Time at={task.started} />
                </td>
                <td className="number">{formatCount(task.findings)}</td>
                <td>{task.outcome === null ? <span className="badge accent">Open</span> : words(task.outcome)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function AgentFindings({ uid, findings }: { uid: string; findings: Page<FindingView> }) {
  return (
    <Panel title="Findings" flush actions={<a href={href("/findings", { agent: uid })}>All of this agent</a>}>
      {findings.items.length === 0 ? (
        <Empty title="No findings" icon="check">
          <p>This agent has stayed inside its envelopes.</p>
        </Empty>
      ) : (
        <ul className="list">
          {findings.items.map((view) => (
            <li key={view.finding.id}>
              <a className="item" href={href("/findings", { agent: uid, open: view.finding.id })}>
                <span className="row">
                  <Severity level={view.finding.severity} />
                  <span className="tag">{view.finding.rule.id}</span>
                  <span className="muted">
                    <Time at={view.finding.time} />
                  </span>
                </span>
                <p>{view.finding.reason}</p>
                <Response response={view.response} />
              </a>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function RecentEvents({ uid, events }: { uid: string; events: EventView[] }) {
  return (
    <Panel title="Recent events" flush actions={<a href={href("/search", { agent: uid })}>All events</a>}>
      {events.length === 0 ? (
        <Empty title="No events" />
      ) : (
        <table className="table compact" aria-label="Recent events">
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">Kind</th>
              <th scope="col">Summary</th>
            </tr>
          </thead>
          <tbody>
            {events.map((event) => (
              <tr key={event.ref}>
                <td>
                  <Time at={event.time ?? event.recorded_at} />
                </td>
                <td>
                  <span className="tag">{event.kind}</span>
                </td>
                <td className="wrap">
                  <a href={href("/search", { agent: uid, open: event.ref })}>{event.summary}</a>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}
