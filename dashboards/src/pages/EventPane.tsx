// One event: what is known of it, its data and headers, and the proof that the ledger holds it.

import { api } from "../api/client";
import type { EventView } from "../api/types";
import { Severity } from "../components/badges";
import { Icon } from "../components/Icon";
import { Json } from "../components/Json";
import { Proof } from "../components/Proof";
import { RawBytes } from "../components/RawBytes";
import { Resolve } from "../components/states";
import { Time } from "../components/Time";
import { Value } from "../components/Value";
import { agentName } from "../format/text";
import { useKeys } from "../state/keys";
import { useResource } from "../state/resource";
import { href } from "../state/router";

interface Props {
  reference: string;
  close: () => void;
}

export function EventPane({ reference, close }: Props) {
  const resource = useResource(`event ${reference}`, (signal) => api.event(reference, signal));
  useKeys({ Escape: close });
  return (
    <aside className="panel pane" aria-label="Event">
      <div className="pane-head">
        <div>
          <h2>{resource.data?.event.summary ?? "Event"}</h2>
          <span className="row tight">
            <span className="tag">{resource.data?.event.kind ?? "loading"}</span>
            <code className="muted">{reference}</code>
          </span>
        </div>
        <button type="button" className="button quiet square" aria-label="Close" title="Close (Esc)" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div className="pane-body">
        <Resolve resource={resource} what="the event">
          {(detail) => (
            <>
              <Links event={detail.event} />
              <Facts event={detail.event} />
              <Proof proof={detail.proof ?? null} />
              {detail.event.data !== null && detail.event.data !== undefined && <Json value={detail.event.data} />}
              {detail.raw_base64 !== null && detail.raw_base64 !== undefined && <RawBytes base64={detail.raw_base64} />}
              <Json value={detail.headers} title="Headers" />
            </>
          )}
        </Resolve>
      </div>
    </aside>
  );
}

function Links({ event }: { event: EventView }) {
  if (event.root_task === null && event.finding === null) return null;
  return (
    <span className="row">
      {event.root_task !== null && (
        <a className="button small" href={href(`/chains/${encodeURIComponent(event.root_task)}`, { select: event.ref })}>
          Open the chain
        </a>
      )}
      {event.finding !== null && (
        <a className="button small" href={href("/findings", { open: event.finding })}>
          Open the finding
        </a>
      )}
    </span>
  );
}

function Facts({ event }: { event: EventView }) {
  const rows: [label: string, field: string | undefined, value: string | null][] = [
    ["Task", "task", event.task],
    ["Root task", "root_task", event.root_task],
    ["Parent task", undefined, event.parent_task],
    ["Tool", "tool", event.tool],
    ["Tool call", undefined, event.tool_call],
    ["Rule", undefined, event.rule],
    ["Status", undefined, event.status],
    ["Finding", undefined, event.finding],
    ["Reason", undefined, event.reason],
    ["Id", undefined, event.id],
    ["Source", undefined, event.source],
    ["Tenant", undefined, event.tenant],
  ];
  return (
    <dl className="facts">
      <dt>Time</dt>
      <dd>{event.time === null ? "the record carries none" : <Time at={event.time} form="full" />}</dd>
      <dt>Recorded</dt>
      <dd>
        <Time at={event.recorded_at} form="full" />
      </dd>
      {event.agent !== null && (
        <>
          <dt>Agent</dt>
          <dd>
            <Value field="agent" value={event.agent} inward>
              <a href={href(`/agents/${encodeURIComponent(event.agent)}`)}>{agentName(event.agent, event.agent_name)}</a>{" "}
              <span className="muted mono">{event.agent}</span>
            </Value>
          </dd>
        </>
      )}
      {event.severity !== null && (
        <>
          <dt>Severity</dt>
          <dd>
            <Severity level={event.severity} />
          </dd>
        </>
      )}
      {rows.map(([label, field, value]) =>
        value === null || value === undefined ? null : (
          <div className="contents" key={label}>
            <dt>{label}</dt>
            <dd>
              <Value value={value} inward {...(field === undefined ? {} : { field })} />
            </dd>
          </div>
        ),
      )}
      {event.duplicate && (
        <>
          <dt>Duplicate</dt>
          <dd>An event with this id and source was recorded before.</dd>
        </>
      )}
    </dl>
  );
}
