import { describe, expect, it } from "vitest";
import { href, match, parseHash } from "./router";
import { takeToken } from "./token";
import { bounds, describeRange, duration, readRange, writeRange } from "./range";

describe("addresses", () => {
  it("are read back as they were written, with reserved characters", () => {
    const values = { agent: "spiffe://acme.example/agent/billing-1", text: "a&b=c #1 ü", empty: "", none: null };
    const { path, query } = parseHash(href("/findings", values));
    expect(path).toBe("/findings");
    expect(Object.fromEntries(query)).toEqual({ agent: values.agent, text: values.text });
  });

  it("that make no sense lead to the start", () => {
    expect(parseHash("").path).toBe("/");
    expect(parseHash("#nonsense").path).toBe("/");
    expect(parseHash("#?text=x").path).toBe("/");
  });

  it("carry encoded parameters", () => {
    const uid = "spiffe://acme.example/agent/50%";
    const { path } = parseHash(href(`/agents/${encodeURIComponent(uid)}`));
    expect(match("/agents/:uid", path)).toEqual({ uid });
    expect(match("/agents/:uid", "/agents/")).toBeNull();
    expect(match("/agents/:uid", "/agents/%E0%A4%A")).toBeNull();
    expect(match("/agents/:uid", "/agents/a/b")).toBeNull();
    expect(match("/", "/")).toEqual({});
  });
});

describe("the token in the address", () => {
  it("is taken out, and what stands beside it stays", () => {
    expect(takeToken("#token=abc%2F1")).toEqual({ token: "abc/1", rest: "#/" });
    expect(takeToken("#token=abc&/findings?rule=E-DEST")).toEqual({ token: "abc", rest: "#/findings?rule=E-DEST" });
    expect(takeToken("#token=50%")).toEqual({ token: "50%", rest: "#/" });
    expect(takeToken("#/search?text=token=abc")).toEqual({ token: null, rest: "#/search?text=token=abc" });
  });
});

describe("time ranges", () => {
  const read = (text: string) => readRange(new URLSearchParams(text));

  it("are read from the address", () => {
    expect(read("")).toEqual({ kind: "all" });
    expect(read("range=15m")).toEqual({ kind: "relative", text: "15m" });
    expect(read("range=forever")).toEqual({ kind: "all" });
    expect(read("from=2026-11-24T10:00:00Z")).toEqual({ kind: "absolute", from: "2026-11-24T10:00:00Z", to: null });
    expect(read("from=yesterday&to=soon")).toEqual({ kind: "all" });
  });

  it("survive a turn through the address", () => {
    for (const text of ["", "range=7d", "from=2026-01-01T00:00:00.000Z&to=2026-01-02T00:00:00.000Z"]) {
      const values = writeRange(read(text));
      expect(read(href("/", values).split("?")[1] ?? "")).toEqual(read(text));
    }
  });

  it("become bounds as of now", () => {
    const now = Date.parse("2026-11-24T10:00:00Z");
    expect(bounds(read("range=1h"), now)).toEqual({ from: "2026-11-24T09:00:00.000Z", to: null });
    expect(bounds(read(""), now)).toEqual({ from: null, to: null });
    expect(duration("0m")).toBeNull();
    expect(duration("90d")).toBe(90 * 86_400_000);
    expect(describeRange(read("range=1h"))).toBe("the last 1 hour");
  });
});
