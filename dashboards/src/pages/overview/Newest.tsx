// The newest findings, each with its reason and how far its response has come.

import type { FindingView } from "../../api/types";
import { Response, Severity } from "../../components/badges";
import { Panel } from "../../components/Panel";
import { Empty } from "../../components/states";
import { Time } from "../../components/Time";
import { acknowledgedAt, timeToAcknowledge } from "../../format/response";
import { agentName } from "../../format/text";
import { formatDuration } from "../../format/time";
import { useListKeys } from "../../state/keys";
import { href, navigate } from "../../state/router";

const SHOWN = 8;

export function Newest({ findings, isNew }: { findings: FindingView[]; isNew: (id: string) => boolean }) {
  const shown = findings.slice(0, SHOWN);
  const link = (view: FindingView) => href("/findings", { open: view.finding.id });
  const keys = useListKeys(shown.length, (index) => {
    const view = shown[index];
    if (view !== undefined) navigate(link(view));
  });
  const list = keys.container as React.RefObject<HTMLUListElement | null>;
  return (
    <Panel title="Newest findings" flush actions={<a href={href("/findings")}>All findings</a>}>
      {shown.length === 0 ? (
        <Empty title="No findings" icon="check">
          <p>No agent has left its envelope.</p>
        </Empty>
      ) : (
        <ul className="list" ref={list} aria-label="Newest findings">
          {shown.map((view, index) => {
            const { finding } = view;
            const took = timeToAcknowledge(view);
            return (
              <li key={finding.id} className={isNew(finding.id) ? "is-new" : undefined}>
                <a className="item" data-row="" href={link(view)} onFocus={() => keys.setActive(index)}>
                  <span className="row">
                    <Severity level={finding.severity} />
                    <span className="tag">{finding.rule.id}</span>
                    <span className="strong">{agentName(finding.agent?.uid ?? null, finding.agent?.name)}</span>
                    {isNew(finding.id) && <span className="badge accent plain">New</span>}
                    <span className="muted">
                      <Time at={finding.time} />
                    </span>
                  </span>
                  <p>{finding.reason}</p>
                  <span className="row">
                    <Response response={view.response} />
                    {acknowledgedAt(view.response) !== null && (
                      <span className="muted">
                        at <Time at={acknowledgedAt(view.response)} />
                        {took !== null && `, ${formatDuration(took)} after the call`}
                      </span>
                    )}
                  </span>
                </a>
              </li>
            );
          })}
        </ul>
      )}
    </Panel>
  );
}
