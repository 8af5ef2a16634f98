import { describe, expect, it } from "vitest";
import { UNTOUCHED } from "../api/fill";
import type { FindingView } from "../api/types";
import { acknowledgedAt, agentState, heldBecause, responseState, revokedAgents, timeToAcknowledge } from "./response";
import { agentName, asText, ending, formatBytes, formatCount, formatShard, hexDump, plural, refAt, shorten, words } from "./text";
import { between, formatAge, formatClock, formatDuration, formatTime, fromField, toField } from "./time";

describe("times", () => {
  const noon = "2026-11-24T12:00:00.231417Z";
  it("name their zone", () => {
    expect(formatTime(noon, "utc")).toBe("2026-11-24 12:00:00.231 UTC");
    expect(formatTime(noon, "local")).toMatch(/^2026-11-2\d \d\d:\d\d:00\.231 UTC[+-]\d\d:\d\d$/);
    expect(formatTime("no time", "utc")).toBe("no time");
  });
  it("leave out today's date only", () => {
    const now = Date.parse("2026-11-24T23:00:00Z");
    expect(formatClock(noon, "utc", now)).toBe("12:00:00.231 UTC");
    expect(formatClock("2026-11-23T23:59:59Z", "utc", now)).toBe("2026-11-23 23:59:59.000 UTC");
  });
  it("have lengths and ages", () => {
    expect([0, 0.4, 340, 2400, 61_000, 7_440_000, 90_000_000].map(formatDuration)).toEqual(
      ["0 ms", "<1 ms", "340 ms", "2.40 s", "1 min 1 s", "2 h 4 min", "1 d 1 h"]);
    expect(formatDuration(-1500)).toBe("-1.50 s");
    expect(formatAge("2026-11-24T12:00:00Z", Date.parse("2026-11-24T12:00:12.400Z"))).toBe("12 s ago");
    expect(formatAge("2026-11-24T12:00:03Z", Date.parse("2026-11-24T12:00:00Z"))).toBe("in 3 s");
    expect(formatAge("never", 0)).toBe("");
  });
  it("differ by microseconds", () => {
    expect(between("2026-11-24T12:00:00.000100Z", "2026-11-24T12:00:00.000850Z")).toBeCloseTo(0.75);
    expect(between("2026-11-24T12:00:00Z", null)).toBeNull();
  });
  it("go into fields and back, in both zones", () => {
    for (const zone of ["utc", "local"] as const) {
      expect(fromField(toField("2026-03-29T01:30:00.000Z", zone), zone)).toBe("2026-03-29T01:30:00.000Z");
    }
    expect(fromField("", "utc")).toBeNull();
    expect(toField(null, "utc")).toBe("");
  });
});

describe("texts", () => {
  it("are short and whole", () => {
    expect(formatCount(1234567)).toBe("1,234,567");
    expect(plural(1, "match", "matches")).toBe("1 match");
    expect(plural(0, "finding")).toBe("0 findings");
    expect([0, 1023, 1024, 10_485_760].map(formatBytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "10 MiB"]);
    expect(agentName("spiffe://acme.example/agent/billing-1")).toBe("billing-1");
    expect(agentName("plain", "Name")).toBe("Name");
    expect(agentName(null)).toBe("no agent");
    expect(words("dead_lettered")).toBe("Dead lettered");
    expect(shorten("a".repeat(30), 10)).toHaveLength(10);
    expect(ending("abc def ghi", 9)).toBe("abc def…");
    expect(shorten("short", 10)).toBe("short");
  });
  it("name a shard in either form", () => {
    expect(formatShard({ topic: "ambit.events", partition: 3 })).toBe("ambit.events/3");
    expect(refAt("ambit.events/3", 17)).toBe("ambit.events:3:17");
    expect(refAt({ topic: "ambit.events", partition: 0 }, 0)).toBe("ambit.events:0:0");
  });
  it("show bytes that are no text", () => {
    const base64 = btoa("\u0000A\u00ff");
    expect(hexDump(base64)).toContain("00 41 ff");
    expect(hexDump(base64)).toContain(".A.");
    expect(asText(btoa("plain"))).toBe("plain");
    expect(hexDump("%%%")).toMatch(/not base64/);
  });
});

const finding = (deliveries: ("pending" | "acknowledged" | "dead_lettered")[], action = "revoke_tree"): FindingView => ({
  ref: "ambit.findings:0:0",
  finding: {
    id: "fnd-1", tenant_uid: "acme", rule: { id: "E-DEST", version: 1, maturity: "stable" }, severity: "critical", title: "t", reason: "r",
    agent: { uid: "a" }, events: [], time: "2026-11-24T12:00:00Z",
  },
  response: {
    action, decided_at: "2026-11-24T12:00:00.004Z",
    deliveries: deliveries.map((state, index) => ({
      delivery_id: `d${index}`, receiver: "r", state, attempts: 1, last_status: null, last_error: null,
      acknowledged_at: state === "acknowledged" ? `2026-11-24T12:00:00.1${index}0Z` : null,
    })),
  },
  triage: UNTOUCHED,
});

describe("responses", () => {
  it("are as far as their slowest delivery", () => {
    expect(heldBecause("already")).toBe("because the task had been revoked already");
    expect(heldBecause("moon")).toBe("held back by moon");
    expect(responseState(null)).toBe("none");
    expect(responseState(finding([]).response)).toBe("decided");
    expect(responseState(finding(["acknowledged", "pending"]).response)).toBe("pending");
    expect(responseState(finding(["acknowledged", "pending", "dead_lettered"]).response)).toBe("dead_lettered");
    expect(responseState({ action: "notify", held_back: { action: "revoke_tree", reason: "budget" }, decided_at: null, deliveries: [] })).toBe("held");
  });
  it("are acknowledged when the last receiver has answered", () => {
    const view = finding(["acknowledged", "acknowledged"]);
    expect(acknowledgedAt(view.response)).toBe("2026-11-24T12:00:00.110Z");
    expect(timeToAcknowledge(view)).toBe(110);
    expect(acknowledgedAt(finding(["acknowledged", "pending"]).response)).toBeNull();
  });
  it("revoke an agent only when a revocation has arrived", () => {
    expect(revokedAgents([finding(["pending"])]).has("a")).toBe(false);
    expect(revokedAgents([finding(["acknowledged"], "notify")]).has("a")).toBe(false);
    const revoked = revokedAgents([finding(["acknowledged"])]);
    expect(agentState("a", 1, revoked)).toBe("revoked");
    expect(agentState("b", 1, revoked)).toBe("finding");
    expect(agentState("b", 0, revoked)).toBe("inside");
  });
});
