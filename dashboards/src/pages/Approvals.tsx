// Responses that wait for people: what each would hit, who has said what, and how long there is.

import { useState } from "react";
import { api } from "../api/client";
import type { Approval } from "../api/desk";
import { Live } from "../components/Live";
import { PageHead } from "../components/Panel";
import { Banner, Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { counted, fuller, hits } from "../format/desk";
import { agentName, plural, words } from "../format/text";
import { useListKeys } from "../state/keys";
import { useResource } from "../state/resource";
import { useQuery } from "../state/router";
import { ApprovalFlyout } from "./ApprovalFlyout";

const EVERY = 5;
const TONES: Record<Approval["state"], string> = { waiting: "medium", approved: "good", denied: "critical", expired: "" };

export function ApprovalState({ state }: { state: Approval["state"] }) {
  return <span className={`badge ${TONES[state]}`}>{words(state)}</span>;
}

/** Those that wait first, the next to lapse on top; then the others as they came. */
export function ordered(approvals: Approval[]): Approval[] {
  const waiting = approvals.filter((one) => one.state === "waiting").toSorted((a, b) => a.expires_at.localeCompare(b.expires_at));
  return [...waiting, ...approvals.filter((one) => one.state !== "waiting")];
}

export function Approvals() {
  const [query, change] = useQuery();
  const [paused, setPaused] = useState(false);
  const [said, setSaid] = useState<Approval | null>(null);
  const resource = useResource("approvals", (signal) => api.approvals(signal), paused ? 0 : EVERY * 1000);
  const items = ordered((resource.data?.items ?? []).map((one) => fuller(said, one)));
  const waiting = items.filter((one) => one.state === "waiting").length;
  const open = query.get("open");
  const show = (one: Approval | undefined) => one !== undefined && change({ open: one.id }, open !== null);
  const keys = useListKeys(items.length, (index) => show(items[index]));
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  const incomplete = resource.data?.incomplete ?? null;
  return (
    <>
      <PageHead title="Approvals" about={`Responses that are too large to go out by themselves. ${plural(waiting, "waits", "wait")} for people now.`}>
        <Live resource={resource} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      {incomplete !== null && <Banner>The list may be incomplete: {incomplete}</Banner>}
      <section className="panel" aria-label="Approvals">
        <Resolve
          resource={resource}
          what="approvals"
          empty={(data) =>
            data.items.length > 0 ? null : (
              <Empty title="Nothing waits" icon="check">
                <p>A response waits here when it would end more than the policy lets go out without people, or when its budget is used up.</p>
              </Empty>
            )
          }
        >
          {() => (
            <div className="panel-body flush">
              <table className="table" aria-label="Approvals">
                <thead>
                  <tr>
                    <th scope="col">State</th>
                    <th scope="col">Action</th>
                    <th scope="col">Agent</th>
                    <th scope="col">Task</th>
                    <th scope="col">Would end</th>
                    <th scope="col">People</th>
                    <th scope="col">Asked</th>
                    <th scope="col">Lapses</th>
                  </tr>
                </thead>
                <tbody ref={body}>
                  {items.map((one, index) => (
                    <tr
                      key={one.id}
                      data-row=""
                      tabIndex={0}
                      aria-current={open === one.id}
                      onClick={() => show(one)}
                      onFocus={() => keys.setActive(index)}
                    >
                      <td>
                        <ApprovalState state={one.state} />
                      </td>
                      <td className="strong nowrap">{words(one.action)}</td>
                      <td className="nowrap" title={one.agent ?? undefined}>{agentName(one.agent)}</td>
                      <td className="mono wrap">{one.task ?? "none"}</td>
                      <td className="wrap">{hits(one)}</td>
                      <td className="nowrap">{counted(one)}</td>
                      <td>
                        <Time at={one.asked_at} />
                      </td>
                      <td>
                        <Time at={one.expires_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Resolve>
        {items.length > 0 && <div className="foot"><span role="status">{plural(items.length, "response")} shown</span></div>}
      </section>
      {open !== null && (
        <ApprovalFlyout
          key={open}
          id={open}
          said={said}
          rule={(now) => {
            setSaid(now);
            resource.reload();
          }}
          close={() => change({ open: null })}
        />
      )}
    </>
  );
}
