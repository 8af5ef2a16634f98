// Every agent with its state; those that need a look come first.

import type { AgentView, FindingView } from "../../api/types";
import { AgentBadge } from "../../components/badges";
import { Panel } from "../../components/Panel";
import { Empty } from "../../components/states";
import { Time } from "../../components/Time";
import { agentState, revokedAgents, type AgentState } from "../../format/response";
import { agentName, plural } from "../../format/text";
import { href } from "../../state/router";

const ORDER: Record<AgentState, number> = { revoked: 0, finding: 1, inside: 2 };
const SHOWN = 12;

export function AgentStates({ agents, findings }: { agents: AgentView[]; findings: FindingView[] }) {
  const revoked = revokedAgents(findings);
  const rows = agents
    .map((agent) => ({ agent, state: agentState(agent.uid, agent.findings, revoked) }))
    .toSorted((a, b) => ORDER[a.state] - ORDER[b.state] || agentName(a.agent.uid, a.agent.name).localeCompare(agentName(b.agent.uid, b.agent.name)));
  const counted = (state: AgentState) => rows.filter((row) => row.state === state).length;
  return (
    <Panel title="Agents" flush actions={<a href={href("/agents")}>All agents</a>}>
      {rows.length === 0 ? (
        <Empty title="No agents yet" icon="agents" />
      ) : (
        <>
          <ul className="list" aria-label="Agents and their state">
            {rows.slice(0, SHOWN).map(({ agent, state }) => (
              <li key={agent.uid}>
                <a className="item" href={href(`/agents/${encodeURIComponent(agent.uid)}`)}>
                  <span className="spread">
                    <span className="strong clip" title={agent.uid}>
                      {agentName(agent.uid, agent.name)}
                    </span>
                    <AgentBadge state={state} />
                  </span>
                  <span className="spread muted">
                    <span>
                      {plural(agent.tool_calls, "call")}, {plural(agent.open_tasks, "open task")}
                    </span>
                    <Time at={agent.last_seen} form="age" />
                  </span>
                </a>
              </li>
            ))}
          </ul>
          <div className="foot">
            {counted("inside")} inside, {counted("finding")} with findings, {counted("revoked")} revoked
          </div>
        </>
      )}
    </Panel>
  );
}
