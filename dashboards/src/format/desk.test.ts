import { describe, expect, it } from "vitest";
import type { Approval, Me, SavedSearch } from "../api/desk";
import { offered } from "../components/Shell";
import { ordered } from "../pages/Approvals";
import { suppression } from "../pages/triage/Suppress";
import { may, refusal } from "../state/me";
import { cannotRule, counted, fromSaved, fuller, hits, later, mayRemove, toSaved, waitsBecause } from "./desk";

const waiting: Approval = {
  id: "rsp-1", ref: "ambit.responses:0:1", tenant: "acme", state: "waiting", action: "revoke_tree", reason: "blast_radius", finding: "fnd-1", agent: "a", task: "t",
  root_task: "t", credentials: ["c"], credentials_hit: 41, tasks_hit: 1, asked_at: "2026-11-24T09:00:00Z", expires_at: "2026-11-24T10:00:00Z", approvals: 2, rulings: [],
};
const kim: Me = { name: "kim", roles: ["responder"], tenant: "acme", may: ["read", "investigate", "triage", "suppress", "respond"] };
const word = (author: string, approves = true) => ({ author, approves, reason: null, time: "2026-11-24T09:01:00Z" });

describe("a response that waits", () => {
  it("is told in words", () => {
    expect(hits(waiting)).toBe("41 credentials, 1 task");
    expect(counted({ ...waiting, rulings: [word("lee"), word("sam", false)] })).toBe("1 of 2 approved");
    expect(waitsBecause("budget")).toContain("used up");
    expect(waitsBecause("something_new")).toBe("something new");
  });

  it("is decided by somebody who may, and by two different people", () => {
    expect(cannotRule(waiting, kim)).toBeNull();
    expect(cannotRule(waiting, null)).toBeNull();
    expect(cannotRule({ ...waiting, rulings: [word("lee")] }, kim)).toBeNull();
    expect(cannotRule({ ...waiting, rulings: [word("KIM")] }, kim)).toContain("somebody else");
    expect(cannotRule({ ...waiting, state: "expired" }, kim)).toContain("expired");
    expect(cannotRule(waiting, { ...kim, roles: ["viewer"], may: ["read"] })).toContain("viewer");
  });

  it("shows what was just said until it is read back", () => {
    const said = { ...waiting, rulings: [word("kim")] };
    expect(fuller(said, waiting)).toBe(said);
    expect(fuller(null, waiting)).toBe(waiting);
    const both = { ...waiting, rulings: [word("kim"), word("lee")] };
    expect(fuller(said, both)).toBe(both);
    expect(fuller({ ...said, id: "rsp-2" }, waiting)).toBe(waiting);
  });

  it("stands before those that do not wait, the next to lapse first", () => {
    const soon = { ...waiting, id: "soon", expires_at: "2026-11-24T09:10:00Z" };
    const done = { ...waiting, id: "done", state: "denied" as const };
    expect(ordered([done, waiting, soon]).map((one) => one.id)).toEqual(["soon", "rsp-1", "done"]);
  });
});

describe("a kept search", () => {
  const round = (text: string) => fromSaved(toSaved(new URLSearchParams(text)));

  it("opens as it was kept", () => {
    expect(round("kind=tool_call.denied&agent=a%2Fb&text=x+y")).toEqual({ kind: "tool_call.denied", agent: "a/b", text: "x y" });
    expect(round("range=24h&tool=pay")).toEqual({ tool: "pay", range: "24h" });
    expect(round("range=15m&q=tool%3Asend_*+OR+tool%3Apay")).toEqual({ range: "15m", q: "tool:send_* OR tool:pay" });
    expect(round("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z")).toEqual({ from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z" });
  });

  it("keeps what the server takes, and nothing of the page", () => {
    expect(toSaved(new URLSearchParams("open=x&cols=kind&range=all"))).toBe("");
    expect(new URLSearchParams(toSaved(new URLSearchParams("range=1h"))).get("q")).toBe("since:1h");
  });

  it("of somebody else opens too, whatever its query", () => {
    expect(fromSaved("q=since%3A1h+tool%3Apay")).toEqual({ q: "since:1h tool:pay" });
    expect(fromSaved("q=since%3A1h&from=2026-01-01T00:00:00Z")).toEqual({ q: "since:1h", from: "2026-01-01T00:00:00Z" });
  });

  it("is taken away by its author and by admins", () => {
    const search: SavedSearch = { id: "s", tenant: "acme", name: "n", query: "", author: "sam", saved_at: "" };
    expect(mayRemove(search, kim)).toBe(false);
    expect(mayRemove({ ...search, author: "kim" }, kim)).toBe(true);
    expect(mayRemove(search, { ...kim, roles: ["admin"] })).toBe(true);
  });
});

describe("what is offered", () => {
  it("is what a role may do, and everything while nobody knows", () => {
    expect(may(null, "respond")).toBe(true);
    expect(may(kim, "trail")).toBe(false);
    expect(refusal(kim, "triage", "x")).toBeNull();
    expect(refusal({ ...kim, roles: ["auditor"], may: ["read"] }, "triage", "change cases")).toBe("Your role (auditor) may not change cases.");
  });

  it("leaves out pages of all tenants for who sees one", () => {
    const names = (me: Me | null) => offered(me).map((page) => page.name);
    expect(names(null)).toContain("Integrity");
    expect(names(kim)).not.toContain("Integrity");
    expect(names(kim)).not.toContain("Dead letters");
    expect(names({ ...kim, tenant: null })).toContain("Dead letters");
    expect(names({ ...kim, tenant: null, may: ["read"] })).not.toContain("Dead letters");
    expect(names(kim)).toEqual(expect.arrayContaining(["Approvals", "Cases"]));
  });
});

it("a suppression names what it is for, and whose", () => {
  const finding = {
    id: "fnd-1", tenant_uid: "acme", rule: { id: "E-TOOL", version: 1, maturity: "stable" }, severity: "high" as const, title: "t", reason: "r",
    agent: { uid: "a" }, events: [], time: "2026-11-24T09:00:00Z",
  };
  const until = new Date("2026-11-25T00:00:00Z");
  const base = { until: "2026-11-25T00:00:00.000Z", reason: "why" };
  expect(suppression(finding, "finding", until, "why")).toEqual({ ...base, finding_id: "fnd-1" });
  expect(suppression(finding, "both", until, "why")).toEqual({ ...base, rule_id: "E-TOOL", tenant: "acme", agent_uid: "a" });
  expect(suppression(finding, "rule", until, "why")).toEqual({ ...base, rule_id: "E-TOOL", tenant: "acme" });
});

it("the later form of a case holds", () => {
  const read = { id: "case-1", changed_at: "2026-11-24T09:00:00Z" };
  const said = { id: "case-1", changed_at: "2026-11-24T09:00:05Z" };
  expect(later(said, read)).toBe(said);
  expect(later(said, { ...read, changed_at: "2026-11-24T09:00:06Z" }).changed_at).toContain("06Z");
  expect(later({ ...said, id: "case-2" }, read)).toBe(read);
});
