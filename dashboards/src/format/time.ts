// Times, always with their zone beside them.

import type { Zone } from "../state/prefs";

const pad = (value: number, width = 2) => String(value).padStart(width, "0");

function zoneSuffix(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const sign = minutes < 0 ? "-" : "+";
  const absolute = Math.abs(minutes);
  return `UTC${sign}${pad(Math.floor(absolute / 60))}:${pad(absolute % 60)}`;
}

interface Parts {
  date: string;
  clock: string;
  millis: string;
  zone: string;
}

function parts(text: string | number, zone: Zone): Parts | null {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return null;
  const utc = zone === "utc";
  const [year, month, day] = utc
    ? [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
    : [date.getFullYear(), date.getMonth(), date.getDate()];
  const [hours, minutes, seconds] = utc
    ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getHours(), date.getMinutes(), date.getSeconds()];
  return {
    date: `${pad(year, 4)}-${pad(month + 1)}-${pad(day)}`,
    clock: `${pad(hours)}:${pad(minutes)}:${pad(seconds)}`,
    millis: pad(date.getUTCMilliseconds(), 3),
    zone: utc ? "UTC" : zoneSuffix(date),
  };
}

/** `2026-11-24 10:03:11.231 UTC`; the text itself when it is no time. */
export function formatTime(text: string | number, zone: Zone): string {
  const found = parts(text, zone);
  return found === null ? String(text) : `${found.date} ${found.clock}.${found.millis} ${found.zone}`;
}

/** `10:03:11.231 UTC`, with the date in front when it is not today's. */
export function formatClock(text: string | number, zone: Zone, now: number): string {
  const found = parts(text, zone);
  if (found === null) return String(text);
  const today = parts(now, zone)?.date === found.date;
  return `${today ? "" : `${found.date} `}${found.clock}.${found.millis} ${found.zone}`;
}

/** `340 ms`, `2.4 s`, `3 min 5 s`, `2 h 4 min`, `3 d 1 h`. */
export function formatDuration(milliseconds: number): string {
  const sign = milliseconds < 0 ? "-" : "";
  const value = Math.abs(milliseconds);
  if (value < 1) return value === 0 ? "0 ms" : `${sign}<1 ms`;
  if (value < 1000) return `${sign}${Math.round(value)} ms`;
  if (value < 60_000) return `${sign}${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(value / 1000);
  const steps: [number, string, number, string][] = [
    [86_400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ];
  for (const [size, unit, smaller, smallUnit] of steps) {
    if (seconds >= size) {
      const rest = Math.floor((seconds % size) / smaller);
      return `${sign}${Math.floor(seconds / size)} ${unit}${rest === 0 ? "" : ` ${rest} ${smallUnit}`}`;
    }
  }
  return `${sign}${seconds} s`;
}

/** `12 s ago`; `in 3 s` for clocks that run ahead. */
export function formatAge(text: string, now: number): string {
  const time = Date.parse(text);
  if (Number.isNaN(time)) return "";
  const age = now - time;
  if (Math.abs(age) < 1000) return "just now";
  const coarse = formatDuration(Math.floor(Math.abs(age) / 1000) * 1000).replace(/\.\d+ s/, " s");
  return age < 0 ? `in ${coarse}` : `${coarse} ago`;
}

/** Milliseconds between two times, null when one is missing. */
export function between(from: string | null | undefined, to: string | null | undefined): number | null {
  if (from === null || from === undefined || to === null || to === undefined) return null;
  const value = micros(to) - micros(from);
  return Number.isFinite(value) ? value / 1000 : null;
}

/** Microseconds since 1970: `Date` alone cuts what stands behind the milliseconds. */
function micros(text: string): number {
  const fraction = /\.\d{3}(\d{1,3})/.exec(text)?.[1] ?? "";
  return Date.parse(text) * 1000 + Number(fraction.padEnd(3, "0"));
}

/** The value of a `datetime-local` field for a time, in the zone that is shown. */
export function toField(text: string | null, zone: Zone): string {
  const found = text === null ? null : parts(text, zone);
  return found === null ? "" : `${found.date}T${found.clock}`;
}

/** The time that a `datetime-local` field means, in the zone that is shown; null when it is empty or unreadable. */
export function fromField(text: string, zone: Zone): string | null {
  if (text === "") return null;
  const date = new Date(zone === "utc" ? `${text}Z` : text);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
