// Ways into a chain: the tasks that were begun last, those with findings, or any root task by its id.

import { useState } from "react";
import { api } from "../api/client";
import type { EventView, FindingView, Severity as Level } from "../api/types";
import { SEVERITIES } from "../api/types";
import { Severity } from "../components/badges";
import { PageHead, Panel } from "../components/Panel";
import { Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { agentName, formatCount } from "../format/text";
import { useListKeys } from "../state/keys";
import { useResource } from "../state/resource";
import { href, navigate } from "../state/router";

interface Entry {
  root: string;
  agent: string | null;
  name: string | null;
  time: string | null;
  summary: string;
  findings: number;
  worst: Level | null;
}

/** What a task is for: the purpose in its envelope, or the event's summary. */
export function purposeOf(event: EventView): string {
  const inside = (value: unknown, name: string): unknown =>
    typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  const purpose = inside(inside(inside(event.data, "envelope"), "document"), "purpose");
  return typeof purpose === "string" && purpose !== "" ? purpose : event.summary;
}

/** One entry per root task: those with findings first, then as they were begun, the newest first. */
export function entries(begun: EventView[], findings: FindingView[]): Entry[] {
  const byRoot = new Map<string, Entry>();
  for (const event of begun) {
    const { root_task: root, agent, agent_name: name, time } = event;
    // The envelope of the root itself says more of the whole than that of a task it delegated.
    if (root === null || (byRoot.has(root) && event.task !== root)) continue;
    byRoot.set(root, { root, agent, name, time, summary: purposeOf(event), findings: 0, worst: null });
  }
  for (const { finding } of findings) {
    const root = finding.task?.root_id;
    if (root === undefined) continue;
    const known = byRoot.get(root) ?? {
      root,
      agent: finding.agent?.uid ?? null,
      name: finding.agent?.name ?? null,
      time: finding.time,
      summary: finding.reason,
      findings: 0,
      worst: null,
    };
    const worse = known.worst === null || SEVERITIES.indexOf(finding.severity) < SEVERITIES.indexOf(known.worst);
    byRoot.set(root, { ...known, findings: known.findings + 1, worst: worse ? finding.severity : known.worst });
  }
  const rank = (entry: Entry) => (entry.worst === null ? SEVERITIES.length : SEVERITIES.indexOf(entry.worst));
  return [...byRoot.values()].toSorted((a, b) => rank(a) - rank(b) || (b.time ?? "").localeCompare(a.time ?? ""));
}

export function Chains() {
  const [root, setRoot] = useState("");
  const resource = useResource("chains", async (signal) => {
    const [begun, findings] = await Promise.all([
      api.events({ kind: "task.envelope.approved", limit: 100 }, signal),
      api.findings({ limit: 100 }, signal),
    ]);
    return entries(begun.items, findings.items);
  });
  const list = resource.data ?? [];
  const link = (entry: Entry) => href(`/chains/${encodeURIComponent(entry.root)}`);
  const keys = useListKeys(list.length, (index) => {
    const entry = list[index];
    if (entry !== undefined) navigate(link(entry));
  });
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  return (
    <>
      <PageHead title="Chains" about="What happened in a task and all it delegated, on whose authority, and what followed">
        <form
          className="row"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            if (root.trim() !== "") navigate(href(`/chains/${encodeURIComponent(root.trim())}`));
          }}
        >
          <input
            className="input auto"
            data-search=""
            aria-label="Root task"
            placeholder="root task   ( / )"
            value={root}
            onChange={(event) => setRoot(event.target.value)}
          />
          <button type="submit" className="button" disabled={root.trim() === ""}>
            Open
          </button>
        </form>
      </PageHead>
      <Panel title="Tasks, those with findings first" flush>
        <Resolve
          resource={resource}
          what="tasks"
          empty={(data) =>
            data.length > 0 ? null : (
              <Empty title="No tasks yet" icon="chains">
                <p>A task appears when its envelope is approved.</p>
              </Empty>
            )
          }
        >
          {(data) => (
            <table className="table" aria-label="Tasks">
              <thead>
                <tr>
                  <th scope="col">Root task</th>
                  <th scope="col">Agent</th>
                  <th scope="col">What for</th>
                  <th scope="col">Time</th>
                  <th scope="col" className="number">Findings</th>
                  <th scope="col">Worst</th>
                </tr>
              </thead>
              <tbody ref={body}>
                {data.map((entry, index) => (
                  <tr key={entry.root} data-row="" tabIndex={0} onClick={() => navigate(link(entry))} onFocus={() => keys.setActive(index)}>
                    <td className="nowrap">
                      <a href={link(entry)} tabIndex={-1}>
                        {entry.root}
                      </a>
                    </td>
                    <td className="nowrap">{agentName(entry.agent, entry.name)}</td>
                    <td className="wrap">{entry.summary}</td>
                    <td>
                      <Time at={entry.time} />
                    </td>
                    <td className="number">{formatCount(entry.findings)}</td>
                    <td>{entry.worst === null ? <span className="faint">none</span> : <Severity level={entry.worst} />}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Resolve>
      </Panel>
    </>
  );
}
