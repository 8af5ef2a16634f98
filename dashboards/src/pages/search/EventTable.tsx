// Events as a table with chosen columns, sorted by time.

import { useRef, type ReactNode } from "react";
import type { EventView } from "../../api/types";
import { Severity } from "../../components/badges";
import { Icon } from "../../components/Icon";
import { Time } from "../../components/Time";
import { ReachableContext, Value } from "../../components/Value";
import { agentName } from "../../format/text";
import { useKeys, type ListKeys } from "../../state/keys";

interface Column {
  title: string;
  cell: (event: EventView) => ReactNode;
}

const none = <span className="faint">–</span>;
const plain = (field: string, value: string | null, text?: string) =>
  value === null ? none : (
    <Value field={field} value={value}>
      {text ?? value}
    </Value>
  );

const COLUMNS = {
  kind: { title: "Kind", cell: (event) => <Value field="kind" value={event.kind}><span className="tag">{event.kind}</span></Value> },
  agent: { title: "Agent", cell: (event) => plain("agent", event.agent, agentName(event.agent, event.agent_name)) },
  task: { title: "Task", cell: (event) => plain("task", event.task) },
  root_task: { title: "Root task", cell: (event) => plain("root_task", event.root_task) },
  tool: { title: "Tool", cell: (event) => plain("tool", event.tool) },
  summary: { title: "Summary", cell: (event) => <Summary event={event} /> },
  severity: { title: "Severity", cell: (event) => (event.severity === null ? none : <Severity level={event.severity} />) },
  rule: { title: "Rule", cell: (event) => event.rule ?? none },
  status: { title: "Status", cell: (event) => event.status ?? none },
  ref: { title: "Place", cell: (event) => <Value value={event.ref}><code>{event.ref}</code></Value> },
  recorded: { title: "Recorded", cell: (event) => <Time at={event.recorded_at} /> },
} satisfies Record<string, Column>;

type Name = keyof typeof COLUMNS;
const NAMES = Object.keys(COLUMNS).filter((name): name is Name => name in COLUMNS);
const USUAL: Name[] = ["kind", "agent", "task", "tool", "summary"];
/** Beside an opened event there is room for these. */
const NARROW: Name[] = ["kind", "agent", "summary"];

/** The columns that an address asks for; the usual ones when it names none that exist. */
export function readColumns(text: string | null): Name[] {
  const wanted = (text ?? "").split(",");
  const found = NAMES.filter((name) => wanted.includes(name));
  return found.length === 0 ? USUAL : found;
}

function Summary({ event }: { event: EventView }) {
  return (
    <span className="wrap">
      {event.severity !== null && (
        <>
          <Severity level={event.severity} />{" "}
        </>
      )}
      {event.summary}
      {event.duplicate && <span className="badge medium plain">Duplicate</span>}
    </span>
  );
}

export function ColumnChoice({ columns, change }: { columns: Name[]; change: (text: string | null) => void }) {
  const details = useRef<HTMLDetailsElement>(null);
  const toggle = (name: Name) => {
    const next = NAMES.filter((other) => (other === name) !== columns.includes(other));
    change(next.length === 0 || next.join() === USUAL.join() ? null : next.join(","));
  };
  useKeys({ Escape: () => details.current?.removeAttribute("open") });
  return (
    <details className="menu" ref={details}>
      <summary className="button">Columns</summary>
      <fieldset className="panel menu-body">
        <legend className="sr">Columns shown</legend>
        {NAMES.map((name) => (
          <label key={name} className="row tight">
            <input type="checkbox" checked={columns.includes(name)} onChange={() => toggle(name)} /> {COLUMNS[name].title}
          </label>
        ))}
      </fieldset>
    </details>
  );
}

interface Props {
  events: EventView[];
  keys: ListKeys;
  columns: Name[];
  open: string | null;
  show: (event: EventView) => void;
  ascending: boolean;
  sort: (ascending: boolean) => void;
}

export function EventTable({ events, keys, columns: chosen, open, show, ascending, sort }: Props) {
  const columns = open === null || chosen.join() !== USUAL.join() ? chosen : NARROW;
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  return (
    <div className="panel-body flush">
      <table className="table compact" aria-label="Events">
        <thead>
          <tr>
            <th scope="col" aria-sort={ascending ? "ascending" : "descending"}>
              <button
                type="button"
                className="sort"
                title={ascending ? "Newest first" : "Oldest first"}
                onClick={() => sort(!ascending)}
              >
                Time <Icon name={ascending ? "up" : "down"} small />
              </button>
            </th>
            {columns.map((name) => (
              <th scope="col" key={name}>
                {COLUMNS[name].title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {events.map((event, index) => (
            <ReachableContext.Provider value={keys.active === index} key={event.ref}>
              <tr
                data-row=""
                tabIndex={0}
                aria-current={open === event.ref}
                onClick={() => show(event)}
                onFocus={() => keys.setActive(index)}
              >
                <td>
                  <Time at={event.time ?? event.recorded_at} />
                </td>
                {columns.map((name) => (
                  <td key={name} className={name === "summary" ? "wrap summary" : "nowrap"}>
                    {COLUMNS[name].cell(event)}
                  </td>
                ))}
              </tr>
            </ReachableContext.Provider>
          ))}
        </tbody>
      </table>
    </div>
  );
}
