// One finding: the clause, what was expected and seen, the events behind it, and what became of the response.

import { api } from "../api/client";
import type { Finding, FindingView, ResponseView } from "../api/types";
import { Response, Severity } from "../components/badges";
import { CopyButton } from "../components/copy";
import { Flyout } from "../components/Flyout";
import { Json } from "../components/Json";
import { Failure, Loading, StaleBanner } from "../components/states";
import { Time } from "../components/Time";
import { Value } from "../components/Value";
import { between, formatDuration } from "../format/time";
import { agentName, plural, refAt, shorten, words } from "../format/text";
import { heldBecause, responseState } from "../format/response";
import { useResource } from "../state/resource";
import { href } from "../state/router";
import { TriagePanel } from "./TriagePanel";

/** Milliseconds between looks at a response that is still under way. */
const WATCH = 2000;

export function FindingFlyout({ id, close }: { id: string; close: () => void }) {
  const resource = useResource(`finding ${id}`, (signal) => api.finding(id, signal), WATCH);
  const view = resource.data;
  const head =
    view === null ? (
      <h2>Finding</h2>
    ) : (
      <>
        <span className="row">
          <Severity level={view.finding.severity} />
          <span className="tag">{view.finding.rule.id}</span>
          <Response response={view.response} />
        </span>
        <h2>{view.finding.title}</h2>
      </>
    );
  return (
    <Flyout label="Finding" head={head} close={close}>
      {view === null && resource.error === null && <Loading what="the finding" rows={9} />}
      {view === null && resource.error !== null && <Failure error={resource.error} retry={resource.reload} />}
      {view !== null && resource.error !== null && <StaleBanner error={resource.error} retry={resource.reload} />}
      {view !== null && <Details view={view} reload={resource.reload} />}
    </Flyout>
  );
}

function Details({ view, reload }: { view: FindingView; reload: () => void }) {
  const { finding, response } = view;
  return (
    <>
      <section className="section">
        <p>{finding.reason}</p>
        {(finding.expected !== undefined || finding.observed !== undefined) && (
          <div className="compare">
            <div>
              <h3>Expected</h3>
              {finding.expected ?? "not stated"}
            </div>
            <div className="seen">
              <h3>Observed</h3>
              {finding.observed ?? "not stated"}
            </div>
          </div>
        )}
        <span className="row">
          {finding.task !== undefined && (
            <a className="button primary" href={href(`/chains/${encodeURIComponent(finding.task.root_id)}`, { select: lastRef(finding) })}>
              Open the chain
            </a>
          )}
          <a className="button" href={href("/search", { open: view.ref, root_task: finding.task?.root_id })}>
            Finding in the record
          </a>
          <CopyButton text={location.href} label="Copy link" />
        </span>
      </section>
      <TriagePanel view={view} reload={reload} />
      <Facts finding={finding} />
      <Deliveries response={response} since={finding.time} />
      <section className="section">
        <h3>Rests on {plural(finding.events.length, "event")}, the deciding one last</h3>
        <ul className="stack">
          {finding.events.map((event) => (
            <li key={`${event.source} ${event.id}`} className="row tight">
              <a href={href("/search", { open: refAt(event.shard, event.offset), root_task: finding.task?.root_id })}>
                {refAt(event.shard, event.offset)}
              </a>
              <span className="muted mono wrap">
                {event.id} of {event.source}
              </span>
            </li>
          ))}
        </ul>
      </section>
      <Json value={finding} title="Finding as recorded" />
    </>
  );
}

function lastRef(finding: Finding): string | null {
  const last = finding.events.at(-1);
  return last === undefined ? null : refAt(last.shard, last.offset);
}

function Facts({ finding }: { finding: Finding }) {
  const { clause, agent, task } = finding;
  return (
    <section className="section">
      <h3>Why and who</h3>
      <dl className="facts">
        <dt>Clause</dt>
        <dd>
          {clause === undefined ? (
            "none: the rule needs no clause, or there was no envelope"
          ) : (
            <>
              <Value value={clause.pointer}>
                <code>{clause.pointer}</code>
              </Value>{" "}
              of envelope <Value value={clause.envelope_id} />, version {clause.envelope_version}
            </>
          )}
        </dd>
        {clause !== undefined && (
          <>
            <dt>Digest</dt>
            <dd>
              <Value value={clause.envelope_digest}>
                <code>{shorten(clause.envelope_digest, 28)}</code>
              </Value>
            </dd>
          </>
        )}
        <dt>Rule</dt>
        <dd>
          <Value field="rule" value={finding.rule.id} /> version {finding.rule.version}, {finding.rule.maturity}
        </dd>
        {agent !== undefined && (
          <>
            <dt>Agent</dt>
            <dd>
              <Value field="agent" value={agent.uid}>
                <a href={href(`/agents/${encodeURIComponent(agent.uid)}`)}>{agentName(agent.uid, agent.name)}</a>
              </Value>{" "}
              <span className="muted mono wrap">{agent.uid}</span>
            </dd>
          </>
        )}
        {task !== undefined && (
          <>
            <dt>Task</dt>
            <dd>
              <Value field="task" value={task.id} />
              {task.root_id !== task.id && <> below {task.root_id}</>}
            </dd>
          </>
        )}
        {finding.tool !== undefined && (
          <>
            <dt>Tool</dt>
            <dd>
              <code>{finding.tool}</code>
            </dd>
          </>
        )}
        {finding.credentials !== undefined && finding.credentials.length > 0 && (
          <>
            <dt>Credentials held</dt>
            <dd className="mono">{finding.credentials.join(", ")}</dd>
          </>
        )}
        <dt>Time</dt>
        <dd>
          <Time at={finding.time} form="full" />
        </dd>
        <dt>Controls</dt>
        <dd className="row tight">
          {(finding.controls ?? []).map((control) => (
            <span key={control} className="tag">
              {control}
            </span>
          ))}
          {(finding.controls ?? []).length === 0 && <span className="faint">none</span>}
        </dd>
        <dt>Finding</dt>
        <dd>
          <Value value={finding.id}>
            <code>{finding.id}</code>
          </Value>
        </dd>
      </dl>
    </section>
  );
}

const STATES = {
  pending: { label: "Pending", tone: "medium" },
  acknowledged: { label: "Acknowledged", tone: "good" },
  dead_lettered: { label: "Dead letter", tone: "critical" },
};

function Deliveries({ response, since }: { response: ResponseView | null; since: string }) {
  if (response === null) {
    return (
      <section className="section">
        <h3>Response</h3>
        <p className="muted">None is recorded: the policy asks for nothing, or has not decided yet.</p>
      </section>
    );
  }
  const held = response.held_back ?? null;
  return (
    <section className="section" aria-label="Response">
      <h3>Response</h3>
      <p>
        <strong>{words(response.action)}</strong>, decided <Time at={response.decided_at} />
        {held !== null && (
          <>
            {" "}
            instead of <strong>{words(held.action)}</strong>, {heldBecause(held.reason)}
          </>
        )}
      </p>
      {response.deliveries.length === 0 && (
        <p className="muted">{responseState(response) === "held" ? "Nothing was sent." : "No delivery has begun yet."}</p>
      )}
      {response.deliveries.map((delivery) => {
        const took = between(since, delivery.acknowledged_at);
        return (
          <div key={delivery.delivery_id} className="panel panel-body stack">
            <span className="spread">
              <strong>{delivery.receiver}</strong>
              <span className={`badge ${STATES[delivery.state].tone}`}>{STATES[delivery.state].label}</span>
            </span>
            <dl className="facts">
              {delivery.acknowledged_at !== null && (
                <>
                  <dt>Acknowledged</dt>
                  <dd>
                    <Time at={delivery.acknowledged_at} form="full" />
                    {took !== null && <span className="muted">, {formatDuration(took)} after the call</span>}
                  </dd>
                </>
              )}
              <dt>Attempts</dt>
              <dd>
                {delivery.attempts}
                {delivery.last_status !== null && `, last answer HTTP ${delivery.last_status}`}
                {delivery.last_error !== null && `, last error ${delivery.last_error}`}
              </dd>
              <dt>Delivery</dt>
              <dd>
                <Value value={delivery.delivery_id}>
                  <code>{delivery.delivery_id}</code>
                </Value>
              </dd>
            </dl>
          </div>
        );
      })}
    </section>
  );
}
