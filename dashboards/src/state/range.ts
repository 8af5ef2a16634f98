// A stretch of time as it stands in the address: `range=1h`, or `from=...&to=...`, or neither for all time.

export const PRESETS = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["6h", "6 hours"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
] as const;

export type Range =
  | { kind: "all" }
  | { kind: "relative"; text: string }
  | { kind: "absolute"; from: string | null; to: string | null };

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a text such as `15m`; null when it is none. */
export function duration(text: string): number | null {
  const found = /^(\d{1,4})([mhd])$/.exec(text);
  if (found === null) return null;
  return Number(found[1]) * (UNITS[found[2] ?? ""] ?? 0) || null;
}

function moment(text: string | null): string | null {
  return text !== null && Number.isFinite(Date.parse(text)) ? text : null;
}

export function readRange(query: URLSearchParams): Range {
  const text = query.get("range");
  if (text !== null && duration(text) !== null) return { kind: "relative", text };
  const from = moment(query.get("from"));
  const to = moment(query.get("to"));
  return from === null && to === null ? { kind: "all" } : { kind: "absolute", from, to };
}

/** What belongs in the address for a range. */
export function writeRange(range: Range): { range: string | null; from: string | null; to: string | null } {
  if (range.kind === "relative") return { range: range.text, from: null, to: null };
  if (range.kind === "absolute") return { range: null, from: range.from, to: range.to };
  return { range: null, from: null, to: null };
}

/** The bounds to ask the API for, as of now. */
export function bounds(range: Range, now: number): { from: string | null; to: string | null } {
  if (range.kind === "all") return { from: null, to: null };
  if (range.kind === "absolute") return { from: range.from, to: range.to };
  return { from: new Date(now - (duration(range.text) ?? 0)).toISOString(), to: null };
}

export function describeRange(range: Range): string {
  if (range.kind === "all") return "all time";
  if (range.kind === "absolute") return `${range.from ?? "the beginning"} to ${range.to ?? "now"}`;
  const preset = PRESETS.find(([text]) => text === range.text);
  return `the last ${preset?.[1] ?? range.text}`;
}
