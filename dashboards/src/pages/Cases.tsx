// Cases: findings that are worked on together.

import { useState } from "react";
import { api } from "../api/client";
import type { Case } from "../api/desk";
import { TRIAGE_STATES } from "../api/types";
import { Icon } from "../components/Icon";
import { Live } from "../components/Live";
import { PageHead } from "../components/Panel";
import { Banner, Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { later } from "../format/desk";
import { plural, words } from "../format/text";
import { useListKeys } from "../state/keys";
import { refusal, useMe } from "../state/me";
import { useResource } from "../state/resource";
import { useQuery } from "../state/router";
import { CaseFlyout } from "./CaseFlyout";
import { NewCase } from "./NewCase";

const EVERY = 5;
const TONES: Record<Case["state"], string> = { open: "medium", acknowledged: "accent", closed: "good" };

export function CaseState({ state }: { state: Case["state"] }) {
  return <span className={`badge ${TONES[state]}`}>{words(state)}</span>;
}

export function Cases() {
  const [query, change] = useQuery();
  const [paused, setPaused] = useState(false);
  const [said, setSaid] = useState<Case | null>(null);
  const me = useMe();
  const resource = useResource("cases", (signal) => api.cases(signal), paused ? 0 : EVERY * 1000);
  const state = query.get("state");
  const read = resource.data?.items ?? [];
  // What was just opened is read back a moment later.
  const all = said === null || read.some((one) => one.id === said.id) ? read.map((one) => later(said, one)) : [said, ...read];
  const items = all.filter((one) => state === null || one.state === state);
  const open = query.get("open");
  const show = (one: Case | undefined) => one !== undefined && change({ open: one.id, new: null }, open !== null);
  const keys = useListKeys(items.length, (index) => show(items[index]));
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  const not = refusal(me, "triage", "open cases");
  const take = (now: Case) => {
    setSaid(now);
    resource.reload();
  };
  return (
    <>
      <PageHead title="Cases" about="Findings that are worked on together">
        <div className="row">
          <label className="row tight muted">
            State
            <select className="input narrow" value={state ?? ""} onChange={(event) => change({ state: event.target.value })}>
              <option value="">any</option>
              {TRIAGE_STATES.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <button type="button" className="button primary" disabled={not !== null} title={not ?? undefined} onClick={() => change({ new: "1", open: null }, false)}>
            <Icon name="plus" small /> Open a case
          </button>
          <Live resource={resource} every={EVERY} paused={paused} setPaused={setPaused} />
        </div>
      </PageHead>
      {(resource.data?.incomplete ?? null) !== null && <Banner>The list may be incomplete: {resource.data?.incomplete}</Banner>}
      <section className="panel" aria-label="Cases">
        <Resolve
          resource={resource}
          what="cases"
          empty={() =>
            items.length > 0 ? null : (
              <Empty title={all.length === 0 ? "No cases yet" : "No case stands so"} icon="cases">
                <p>{all.length === 0 ? "Open one here, or from a finding." : "Choose another state."}</p>
              </Empty>
            )
          }
        >
          {() => (
            <div className="panel-body flush">
              <table className="table" aria-label="Cases">
                <thead>
                  <tr>
                    <th scope="col">State</th>
                    <th scope="col">Title</th>
                    <th scope="col" className="number">Findings</th>
                    <th scope="col">Looks after it</th>
                    <th scope="col">Tenant</th>
                    <th scope="col">Opened</th>
                    <th scope="col">Changed</th>
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
                        <CaseState state={one.state} />
                      </td>
                      <td className="strong wrap">{one.title}</td>
                      <td className="number">{one.findings.length}</td>
                      <td className="wrap">{one.assignee ?? <span className="faint">nobody</span>}</td>
                      <td className="wrap">{one.tenant}</td>
                      <td>
                        <Time at={one.opened_at} /> <span className="muted">by {one.opened_by}</span>
                      </td>
                      <td>
                        <Time at={one.changed_at} /> <span className="muted">by {one.changed_by}</span>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Resolve>
        {items.length > 0 && <div className="foot"><span role="status">{plural(items.length, "case")} shown</span></div>}
      </section>
      {open !== null && <CaseFlyout key={open} id={open} said={said} take={take} close={() => change({ open: null })} />}
      {open === null && query.get("new") !== null && (
        <NewCase
          finding={query.get("finding") ?? ""}
          title={query.get("title") ?? ""}
          opened={(now) => {
            take(now);
            change({ open: now.id, new: null, finding: null, title: null });
          }}
          close={() => change({ new: null, finding: null, title: null })}
        />
      )}
    </>
  );
}
