import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import type { Chain, EventView, FindingView } from "../api/types";
import { splitAgent } from "../api/client";
import { fillEvent, fillFinding, fillOverview, UNTOUCHED } from "../api/fill";
import { pieces } from "../components/Json";
import { unfinished } from "./Chain";
import { entries, purposeOf } from "./Chains";
import { Notices } from "./overview/Notices";
import { readColumns } from "./search/EventTable";
import { newer, standing } from "./TriagePanel";

const event = (task: string, root: string, time: string, data: unknown = null): EventView => ({
  ref: `ambit.events:0:${time}`, topic: "ambit.events", partition: 0, offset: 0, leaf_index: 0, kind: "task.envelope.approved", time,
  recorded_at: time, id: "e", source: "s", tenant: "acme", agent: "a", agent_name: null, task, root_task: root, parent_task: null, tool: null,
  tool_call: null, severity: null, rule: null, status: null, finding: null, duplicate: false, reason: null, summary: `approved ${task}`, data,
});
const found = (root: string, severity: "low" | "critical"): FindingView => ({
  ref: "ambit.findings:0:0",
  finding: {
    id: `fnd-${root}`, tenant_uid: "acme", rule: { id: "E-DEST", version: 1, maturity: "stable" }, severity, title: "t", reason: "why",
    task: { id: root, root_id: root }, events: [], time: "2026-11-24T09:00:00Z",
  },
  response: null,
  triage: UNTOUCHED,
});

describe("triage", () => {
  it("is told in words, and what was just said holds until it is read back", () => {
    expect(standing(UNTOUCHED)).toBe("open");
    const closed = { ...UNTOUCHED, state: "closed" as const, disposition: "false_positive" as const, assignee: "kim", changed_at: "2026-11-24T09:00:02Z" };
    expect(standing(closed)).toBe("closed: False positive, kim looks after it");
    expect(newer(null, UNTOUCHED)).toBe(UNTOUCHED);
    expect(newer(closed, UNTOUCHED)).toBe(closed);
    const since = { ...closed, changed_at: "2026-11-24T09:00:03Z" };
    expect(newer(closed, since)).toBe(since);
    expect(fillFinding({ ref: "r", finding: found("a", "low").finding, response: null }).triage).toEqual(UNTOUCHED);
  });
});

describe("chains", () => {
  it("are one per root, those with findings first, told by the root's own envelope", () => {
    const begun = [event("a.1", "a", "12"), event("a", "a", "11"), event("b", "b", "10"), event("c", "c", "13")];
    const list = entries(begun, [found("b", "low"), found("b", "critical"), found("old", "low")]);
    expect(list.map(({ root, findings, worst }) => [root, findings, worst])).toEqual([
      ["b", 2, "critical"], ["old", 1, "low"], ["c", 0, null], ["a", 0, null],
    ]);
    expect(list.at(-1)?.summary).toBe("approved a");
  });
  it("say what for, where the envelope does", () => {
    expect(purposeOf(event("a", "a", "1", { envelope: { document: { purpose: "Pay" } } }))).toBe("Pay");
    for (const data of [null, "x", { envelope: null }, { envelope: { document: { purpose: 7 } } }]) {
      expect(purposeOf(event("a", "a", "1", data))).toBe("approved a");
    }
  });
  it("are watched until all is closed and answered", () => {
    const chain: Chain = {
      root_task: "a", purpose: null, nodes: [], edges: [], findings: [], truncated: false, next_cursor: null,
      tasks: [{ id: "a", parent: null, agent: null, envelope: null, closed: "2026-11-24T09:00:00Z", outcome: "completed" }],
    };
    expect(unfinished(chain)).toBe(false);
    expect(unfinished({ ...chain, findings: [found("a", "low")] })).toBe(true);
    const open = { id: "a", parent: null, agent: null, envelope: null, closed: null, outcome: null };
    expect(unfinished({ ...chain, tasks: [open] })).toBe(true);
  });
});

it("columns are those that exist, or the usual ones", () => {
  expect(readColumns("ref,nonsense,kind")).toEqual(["kind", "ref"]);
  expect(readColumns("nonsense")).toEqual(readColumns(null));
});

it("an agent's tasks are told from their count in either form", () => {
  const base = { uid: "a", name: null, blueprint: null, first_seen: null, last_seen: null, tool_calls: 1, findings: 0, worst_severity: null, open_tasks: 0 };
  const task = { root_task: "t", purpose: null, started: null, last_event: null, findings: 0, outcome: null };
  expect(splitAgent({ ...base, tasks: 9, recent_tasks: [task] })).toMatchObject({ agent: { tasks: 9 }, tasks: [task] });
  expect(splitAgent({ ...base, tasks: [task] })).toMatchObject({ agent: { tasks: 1 }, tasks: [task] });
});

it("coloured JSON is the JSON, whatever is in its strings", () => {
  const text = JSON.stringify({ "a\"b": "x: true, 1", n: [-1.5, null, false], deep: { k: "\\" } }, null, 2);
  const cut = pieces(text);
  expect(cut.map((piece) => piece.text).join("")).toBe(text);
  expect(cut.find((piece) => piece.text.includes("x: true"))?.tone).toBe("text");
  expect(cut.filter((piece) => piece.tone === "number").map((piece) => piece.text)).toEqual(["-1.5"]);
});

it("what a server leaves out is null, and what it says stays", () => {
  const { kind, ref } = event("a", "a", "1");
  const bare = fillEvent({ ref, topic: "ambit.events", partition: 0, offset: 0, kind, summary: "s", duplicate: true, tool: "send_money" });
  expect(bare).toMatchObject({ agent: null, severity: null, data: null, duplicate: true, tool: "send_money" });
  const view = fillFinding({ ...found("a", "low"), response: { action: "notify", decided_at: "t", deliveries: [] } });
  expect(view.response).toMatchObject({ action: "notify", decided_at: "t" });
  expect(fillOverview({ events: 3 })).toMatchObject({ events: 3, shards: [], responses: { decided: 0 }, notices: [] });
});

it("the overview tells what whoever runs this should know, as text", () => {
  const told = renderToStaticMarkup(createElement(Notices, { notices: ["nothing is revoked <b>"] }));
  expect(told).toContain('role="status"');
  expect(told).toContain("nothing is revoked &lt;b&gt;");
  expect(renderToStaticMarkup(createElement(Notices, { notices: [] }))).toBe("");
});
