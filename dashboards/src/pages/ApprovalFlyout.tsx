// One response that waits: what it would hit, why it waits, who has spoken, and one's own word.

import { useState } from "react";
import { api } from "../api/client";
import type { Approval } from "../api/desk";
import { Severity } from "../components/badges";
import { Flyout } from "../components/Flyout";
import { Refused } from "../components/Refused";
import { Failure, Loading, StaleBanner } from "../components/states";
import { Time } from "../components/Time";
import { Value } from "../components/Value";
import { cannotRule, counted, fuller, hits, waitsBecause } from "../format/desk";
import { agentName, plural, words } from "../format/text";
import { useAct } from "../state/act";
import { useMe } from "../state/me";
import { useResource } from "../state/resource";
import { href } from "../state/router";
import { ApprovalState } from "./Approvals";

/** Milliseconds between looks at what others say. */
const WATCH = 2000;
/** Credentials that are named; the rest is counted. */
const NAMED = 20;

interface Props {
  id: string;
  said: Approval | null;
  rule: (now: Approval) => void;
  close: () => void;
}

export function ApprovalFlyout({ id, said, rule, close }: Props) {
  const resource = useResource(`approval ${id}`, (signal) => api.approval(id, signal), WATCH);
  const approval = resource.data === null ? null : fuller(said, resource.data);
  const head =
    approval === null ? (
      <h2>Approval</h2>
    ) : (
      <>
        <span className="row">
          <ApprovalState state={approval.state} />
          <span className="tag">{counted(approval)}</span>
        </span>
        <h2>
          {words(approval.action)} of {approval.task ?? agentName(approval.agent)}
        </h2>
      </>
    );
  return (
    <Flyout label="Approval" head={head} close={close}>
      {approval === null && resource.error === null && <Loading what="the response" rows={8} />}
      {approval === null && resource.error !== null && <Failure error={resource.error} retry={resource.reload} />}
      {approval !== null && resource.error !== null && <StaleBanner error={resource.error} retry={resource.reload} />}
      {approval !== null && (
        <>
          <Hits approval={approval} />
          <Words approval={approval} rule={rule} />
          <Facts approval={approval} />
        </>
      )}
    </Flyout>
  );
}

/** What was found, in a line: several responses may wait for one task. */
function Found({ id }: { id: string }) {
  const resource = useResource(`finding ${id}`, (signal) => api.finding(id, signal));
  const view = resource.data;
  if (view === null) return null;
  return (
    <p className="row tight">
      <Severity level={view.finding.severity} />
      <span className="tag">{view.finding.rule.id}</span>
      <span className="wrap">{view.finding.reason}</span>
    </p>
  );
}

function Hits({ approval }: { approval: Approval }) {
  const named = approval.credentials.slice(0, NAMED);
  const rest = approval.credentials.length - named.length;
  return (
    <section className="section" aria-label="What it would hit">
      <h3>What it would hit</h3>
      <Found id={approval.finding} />
      <p>
        <strong>{hits(approval)}</strong>, as far as known when it was asked. It waits because {waitsBecause(approval.reason)}.
      </p>
      <span className="row">
        {approval.root_task !== null && (
          <a className="button primary" href={href(`/chains/${encodeURIComponent(approval.root_task)}`)}>
            Open the chain
          </a>
        )}
        <a className="button" href={href("/findings", { open: approval.finding })}>
          Open the finding
        </a>
        <a className="button" href={href("/search", { open: approval.ref, root_task: approval.root_task })}>
          Question in the record
        </a>
      </span>
      {named.length > 0 && (
        <p className="mono wrap">
          {named.join(", ")}
          {rest > 0 && ` and ${plural(rest, "other")}`}
        </p>
      )}
    </section>
  );
}

function Words({ approval, rule }: { approval: Approval; rule: (now: Approval) => void }) {
  const me = useMe();
  const act = useAct();
  const [reason, setReason] = useState("");
  const not = cannotRule(approval, me);
  const say = (approves: boolean) =>
    act.run(async () => {
      rule(await api.rule(approval.id, approves, reason.trim()));
      setReason("");
    });
  const silent = act.busy || reason.trim() === "";
  return (
    <section className="section" aria-label="Decision">
      <h3>What people say</h3>
      {approval.rulings.length === 0 && <p className="muted">Nobody has said anything yet.</p>}
      <ul className="stack tight" aria-label="Rulings">
        {approval.rulings.map((ruling) => (
          <li key={`${ruling.time} ${ruling.author}`} className="wrap">
            <span className={`badge ${ruling.approves ? "good" : "critical"}`}>{ruling.approves ? "Approves" : "Denies"}</span>{" "}
            <strong>{ruling.author}</strong>, <Time at={ruling.time} />
            {ruling.reason !== null && <>: {ruling.reason}</>}
          </li>
        ))}
      </ul>
      {not !== null ? (
        <p className="muted" role="status">{not}</p>
      ) : (
        <>
          <p className="muted">
            {plural(approval.approvals, "person", "different people")} must approve; one refusal is enough to stop it.
          </p>
          <label className="field">
            Reason, kept in the record
            <input className="input" value={reason} maxLength={2000} disabled={act.busy} onChange={(event) => setReason(event.target.value)} />
          </label>
          <span className="row">
            <button type="button" className="button primary" disabled={silent} onClick={() => void say(true)}>
              Approve
            </button>
            <button type="button" className="button" disabled={silent} onClick={() => void say(false)}>
              Deny
            </button>
            {reason.trim() === "" && <span className="faint">Give a reason first</span>}
          </span>
        </>
      )}
      <Refused error={act.error} />
    </section>
  );
}

function Facts({ approval }: { approval: Approval }) {
  return (
    <section className="section">
      <h3>At whom, and until when</h3>
      <dl className="facts">
        {approval.agent !== null && (
          <>
            <dt>Agent</dt>
            <dd>
              <Value field="agent" value={approval.agent}>
                <a href={href(`/agents/${encodeURIComponent(approval.agent)}`)}>{agentName(approval.agent)}</a>
              </Value>{" "}
              <span className="muted mono wrap">{approval.agent}</span>
            </dd>
          </>
        )}
        {approval.task !== null && (
          <>
            <dt>Task</dt>
            <dd>
              <Value field="task" value={approval.task} />
              {approval.root_task !== null && approval.root_task !== approval.task && <> below {approval.root_task}</>}
            </dd>
          </>
        )}
        <dt>Asked</dt>
        <dd>
          <Time at={approval.asked_at} form="full" />
        </dd>
        <dt>Lapses</dt>
        <dd>
          <Time at={approval.expires_at} form="full" />
        </dd>
        <dt>Tenant</dt>
        <dd>{approval.tenant}</dd>
        <dt>Response</dt>
        <dd>
          <Value value={approval.id}>
            <code>{approval.id}</code>
          </Value>
        </dd>
      </dl>
    </section>
  );
}
