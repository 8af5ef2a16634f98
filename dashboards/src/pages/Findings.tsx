// The queue of findings, with filters that live in the address and a sheet for one finding.

import { useCallback, useMemo, useRef, useState } from "react";
import { api } from "../api/client";
import { SEVERITIES, TRIAGE_STATES, type FindingView } from "../api/types";
import { Response, Severity } from "../components/badges";
import { Filters, type FilterField } from "../components/Filters";
import { Foot } from "../components/Foot";
import { Live } from "../components/Live";
import { PageHead } from "../components/Panel";
import { Banner, Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { FilterContext, ReachableContext, Value } from "../components/Value";
import { agentName } from "../format/text";
import { useFresh } from "../state/fresh";
import { useListKeys } from "../state/keys";
import { bounds, readRange } from "../state/range";
import { usePaged } from "../state/resource";
import { useQuery } from "../state/router";
import { FindingFlyout } from "./FindingFlyout";
import { standing } from "./TriagePanel";

const EVERY = 5;
const NAMES = ["severity", "rule", "agent", "task", "text", "state", "assignee", "suppressed"];
const FIELDS = [...NAMES, "range", "from", "to"];
/** The rules that the envelope gives; others can be reached by filtering for a value in the list. */
const RULES = ["E-TOOL", "E-ARG", "E-DEST", "E-RES", "E-EFFECT", "E-BUDGET", "E-WINDOW", "E-APPROVAL", "E-AGENT", "E-NONE", "C-AFTER-END"];

export function Findings() {
  const [query, change] = useQuery();
  const [paused, setPaused] = useState(false);
  const key = JSON.stringify(FIELDS.map((name) => query.get(name)));
  const range = readRange(query);
  const asked = useRef(0);
  const filters = Object.fromEntries(NAMES.map((name) => [name, query.get(name)]));
  const paged = usePaged(
    key,
    (view: FindingView) => view.finding.id,
    (cursor, signal) => {
      if (cursor === null) asked.current = Date.now();
      return api.findings({ ...filters, ...bounds(range, asked.current), cursor, limit: 50 }, signal);
    },
    paused ? 0 : EVERY * 1000,
  );
  const views = paged.data ?? [];
  const filter = useCallback((field: string, value: string) => change({ [field]: value }), [change]);
  const fresh = useFresh(paged.data?.map((view) => view.finding.id) ?? null);
  const open = query.get("open");
  const rules = useMemo(() => [...new Set([...(paged.data ?? []).map((view) => view.finding.rule.id), ...RULES])].toSorted(), [paged.data]);
  const fields: FilterField[] = [
    { name: "severity", label: "Severity", options: SEVERITIES },
    { name: "rule", label: "Rule", options: rules },
    { name: "agent", label: "Agent", placeholder: "identity" },
    { name: "state", label: "State", options: TRIAGE_STATES },
    { name: "assignee", label: "Looks after it", placeholder: "name" },
    { name: "suppressed", label: "Suppressed", options: ["include", "only"], none: "left out" },
    ...(query.get("task") === null ? [] : [{ name: "task", label: "Task" }]),
  ];
  const show = (view: FindingView | undefined) => view !== undefined && change({ open: view.finding.id }, open !== null);
  const keys = useListKeys(views.length, (index) => show(views[index]));
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  return (
    <FilterContext.Provider value={filter}>
      <PageHead title="Findings" about="What agents did outside their envelopes, newest first">
        <Live resource={paged} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      <Filters fields={fields} query={query} change={change} />
      {paged.incomplete !== null && <Banner>Results may be incomplete: {paged.incomplete}</Banner>}
      <section className="panel" aria-label="Queue">
        <Resolve
          resource={paged}
          what="findings"
          empty={(data) =>
            data.length > 0 ? null : (
              <Empty title="No findings here" icon="check">
                <p>{key.replace(/[[\]null,]/g, "") === "" ? "No agent has left its envelope." : "No finding answers these filters."}</p>
              </Empty>
            )
          }
        >
          {(data) => (
            <div className="panel-body flush">
              <table className="table" aria-label="Findings">
                <thead>
                  <tr>
                    <th scope="col">Severity</th>
                    <th scope="col">Rule</th>
                    <th scope="col">Agent</th>
                    <th scope="col">Reason</th>
                    <th scope="col">Time</th>
                    <th scope="col">Response</th>
                  </tr>
                </thead>
                <tbody ref={body}>
                  {data.map((view, index) => (
                    <Row
                      key={view.finding.id}
                      view={view}
                      active={keys.active === index}
                      selected={open === view.finding.id}
                      isNew={fresh.isNew(view.finding.id)}
                      focus={() => keys.setActive(index)}
                      show={() => show(view)}
                    />
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Resolve>
        {views.length > 0 && <Foot paged={paged} one="finding" />}
      </section>
      {open !== null && <FindingFlyout key={open} id={open} close={() => change({ open: null })} />}
    </FilterContext.Provider>
  );
}

interface RowProps {
  view: FindingView;
  active: boolean;
  selected: boolean;
  isNew: boolean;
  focus: () => void;
  show: () => void;
}

function Row({ view, active, selected, isNew, focus, show }: RowProps) {
  const { finding } = view;
  const uid = finding.agent?.uid ?? null;
  return (
    <ReachableContext.Provider value={active}>
      <tr data-row="" tabIndex={0} aria-current={selected} className={isNew ? "is-new" : undefined} onClick={show} onFocus={focus}>
        <td>
          <Value field="severity" value={finding.severity}>
            <Severity level={finding.severity} />
          </Value>
        </td>
        <td>
          <Value field="rule" value={finding.rule.id}>
            <span className="tag">{finding.rule.id}</span>
          </Value>
        </td>
        <td className="nowrap">{uid === null ? <span className="faint">none</span> : <Value field="agent" value={uid}>{agentName(uid, finding.agent?.name)}</Value>}</td>
        <td className="wrap">
          <span className="strong">{finding.title}</span>{" "}
          {(view.triage.state !== "open" || view.triage.assignee !== null) && <span className="tag">{standing(view.triage)}</span>}
          {view.triage.suppressed !== null && <span className="tag">suppressed</span>}
          <br />
          <span className="muted">{finding.reason}</span>
        </td>
        <td>
          <Time at={finding.time} />
        </td>
        <td>
          <Response response={view.response} />
        </td>
      </tr>
    </ReachableContext.Provider>
  );
}
