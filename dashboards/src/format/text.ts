// Numbers, names and payloads as people read them.

import type { Shard } from "../api/types";

const whole = new Intl.NumberFormat("en-US");

export function formatCount(value: number): string {
  return whole.format(value);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

export function formatBytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = "B";
  for (const next of units) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return `${size.toFixed(size < 10 ? 1 : 0)} ${unit}`;
}

export function formatShard(shard: Shard): string {
  return typeof shard === "string" ? shard : `${shard.topic}/${shard.partition}`;
}

/** The `ref` of the event at an offset of a shard. */
export function refAt(shard: Shard, offset: number): string {
  return `${formatShard(shard).replace(/\/(\d+)$/, ":$1")}:${offset}`;
}

/** The last part of an agent's identity: `spiffe://acme.example/agent/billing-1` is `billing-1`. */
export function agentName(uid: string | null, name?: string | null): string {
  if (name !== null && name !== undefined && name !== "") return name;
  if (uid === null) return "no agent";
  const last = uid.split("/").at(-1) ?? "";
  return last === "" ? uid : last;
}

/** `revoke_tree` as `Revoke tree`. */
export function words(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A long id by its ends. */
export function shorten(text: string, length = 20): string {
  if (text.length <= length) return text;
  const end = Math.floor((length - 1) / 3);
  return `${text.slice(0, length - 1 - end)}…${text.slice(-end)}`;
}

/** A text without its end, where there is no room for it. */
export function ending(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`;
}

export function prettyJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "null";
}

function bytes(base64: string): Uint8Array {
  const text = atob(base64);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Bytes as rows of offset, hexadecimal digits and printable characters. */
export function hexDump(base64: string, rowsMax = 64): string {
  let data: Uint8Array;
  try {
    data = bytes(base64);
  } catch {
    return "The server's answer is not base64.";
  }
  const rows: string[] = [];
  for (let start = 0; start < data.length && rows.length < rowsMax; start += 16) {
    const row = [...data.subarray(start, start + 16)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "."));
    const left = digits.slice(0, 8).join(" ").padEnd(23);
    const right = digits.slice(8).join(" ").padEnd(23);
    rows.push(`${start.toString(16).padStart(6, "0")}  ${left}  ${right}  ${text.join("")}`);
  }
  return rows.join("\n");
}

/** Bytes as text, with what is not UTF-8 marked. */
export function asText(base64: string): string {
  try {
    return new TextDecoder().decode(bytes(base64));
  } catch {
    return "";
  }
}
