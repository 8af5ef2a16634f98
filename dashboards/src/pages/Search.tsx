// Search over all recorded events; the address holds filters, time, order, columns and the opened row.

import { useCallback, useRef } from "react";
import { api } from "../api/client";
import { SEVERITIES, type EventView } from "../api/types";
import { CopyButton } from "../components/copy";
import { Filters, type FilterField } from "../components/Filters";
import { Foot } from "../components/Foot";
import { PageHead } from "../components/Panel";
import { Banner, Empty, Resolve } from "../components/states";
import { FilterContext } from "../components/Value";
import { Icon } from "../components/Icon";
import { useListKeys } from "../state/keys";
import { bounds, describeRange, readRange } from "../state/range";
import { usePaged } from "../state/resource";
import { useQuery } from "../state/router";
import { EventPane } from "./EventPane";
import { SavedSearches } from "./search/Saved";
import { ColumnChoice, EventTable, readColumns } from "./search/EventTable";

const KINDS = [
  "tool_call.requested", "tool_call.completed", "tool_call.denied",
  "credential.issued", "credential.used", "credential.rotated", "credential.revoked", "credential.expired",
  "task.envelope.proposed", "task.envelope.approved", "task.envelope.amended", "task.envelope.closed",
  "approval.requested", "approval.approved", "approval.denied", "approval.expired", "approval.cancelled",
  "baseline.approved", "delegation.granted", "delegation.revoked", "decision.evaluated",
  "agent.lifecycle.created", "agent.lifecycle.cloned", "agent.lifecycle.paused", "agent.lifecycle.resumed",
  "agent.lifecycle.retried", "agent.lifecycle.retasked", "agent.lifecycle.offboarded",
  "finding.created", "finding.updated", "finding.closed",
  "response.decided", "response.attempted", "response.acknowledged", "response.dead_lettered",
  "response.pending", "response.approved", "response.denied", "response.expired", "triage.changed", "triage.suppressed", "case.changed",
  "revocation.requested", "revocation.delivered", "revocation.confirmed", "revocation.failed",
  "source.recorded", "notice.gap", "notice.clock", "notice.integrity", "dead_letter",
];

const FIELDS: FilterField[] = [
  { name: "agent", label: "Agent", placeholder: "identity" },
  { name: "root_task", label: "Root task" },
  { name: "task", label: "Task" },
  { name: "tool", label: "Tool" },
  { name: "kind", label: "Kind", options: KINDS },
  { name: "severity", label: "Severity", options: SEVERITIES },
];
/** The query language, for whoever knows it, and for searches that were kept with it. */
const QUERY: FilterField = { name: "q", label: "Query", placeholder: "tool:send_* -status:denied" };
const NAMES = ["text", "q", ...FIELDS.map((field) => field.name), "order"];

export function Search() {
  const [query, change] = useQuery();
  const key = JSON.stringify([...NAMES, "range", "from", "to"].map((name) => query.get(name)));
  const range = readRange(query);
  const asked = useRef(0);
  const paged = usePaged(
    key,
    (event: EventView) => event.ref,
    (cursor, signal) => {
      // All pages of one search have the same bounds in time.
      if (cursor === null) asked.current = Date.now();
      const filters = Object.fromEntries(NAMES.map((name) => [name, query.get(name)]));
      return api.events({ ...filters, ...bounds(range, asked.current), cursor, limit: 50 }, signal);
    },
  );
  const events = paged.data ?? [];
  const filter = useCallback((field: string, value: string) => change({ [field]: value }), [change]);
  const open = query.get("open");
  const show = (event: EventView | undefined) => event !== undefined && change({ open: event.ref }, open !== null);
  const keys = useListKeys(events.length, (index) => show(events[index]));
  const columns = readColumns(query.get("cols"));
  return (
    <FilterContext.Provider value={filter}>
      <PageHead title="Search" about={`Every recorded event, ${describeRange(range)}`}>
        <div className="row">
          <SavedSearches query={query} />
          <ColumnChoice columns={columns} change={(cols) => change({ cols })} />
          <button type="button" className="button" onClick={paged.reload}>
            <Icon name="reload" small /> Search again
          </button>
          <CopyButton text={location.href} label="Copy link" />
        </div>
      </PageHead>
      <Filters fields={[QUERY, ...FIELDS]} query={query} change={change} />
      {paged.incomplete !== null && <Banner>Results may be incomplete: {paged.incomplete}</Banner>}
      <div className={open === null ? "split" : "split with-pane"}>
        <section className="panel" aria-label="Results">
          <Resolve
            resource={paged}
            what="results"
            empty={(data) =>
              data.length > 0 ? null : (
                <Empty title="Nothing found">
                  <p>No recorded event answers these filters in {describeRange(range)}. Take a filter away, or widen the time.</p>
                </Empty>
              )
            }
          >
            {(data) => (
              <EventTable
                events={data}
                keys={keys}
                columns={columns}
                open={open}
                show={show}
                ascending={query.get("order") === "asc"}
                sort={(ascending) => change({ order: ascending ? "asc" : null })}
              />
            )}
          </Resolve>
          {events.length > 0 && <Foot paged={paged} one="event" />}
        </section>
        {open !== null && <EventPane key={open} reference={open} close={() => change({ open: null })} />}
      </div>
    </FilterContext.Provider>
  );
}
