// What people do with findings, in words, and searches as they are kept: pure functions.

import type { Approval, Me, SavedSearch } from "../api/desk";
import { refusal } from "../state/me";
import { plural, words } from "./text";

/** What a response that waits would hit, as far as known when it was asked. */
export function hits(approval: Approval): string {
  return `${plural(approval.credentials_hit, "credential")}, ${plural(approval.tasks_hit, "task")}`;
}

const WAITS: Record<string, string> = {
  budget: "the budget of revocations is used up",
  blast_radius: "it would end more than one action may",
};

export function waitsBecause(reason: string): string {
  return WAITS[reason] ?? words(reason).toLowerCase();
}

/** How many different people have approved, of how many. */
export function counted(approval: Approval): string {
  const approved = approval.rulings.filter((ruling) => ruling.approves).length;
  return `${approved} of ${approval.approvals} approved`;
}

/** Why somebody cannot decide on a response; null when they can. */
export function cannotRule(approval: Approval, me: Me | null): string | null {
  if (approval.state !== "waiting") return `It waits no more: it is ${approval.state}.`;
  const not = refusal(me, "respond", "decide on responses");
  if (not !== null || me === null) return not;
  const same = (ruling: { author: string }) => ruling.author.toLowerCase() === me.name.toLowerCase();
  return approval.rulings.some(same) ? `You have approved as ${me.name}. It needs somebody else, too.` : null;
}

/** The form with more of what people said: what was just said is read back a moment later. */
export function fuller(said: Approval | null, read: Approval): Approval {
  if (said === null || said.id !== read.id) return read;
  return read.rulings.length >= said.rulings.length ? read : said;
}

/** The later of two forms of the same thing. */
export function later<T extends { id: string; changed_at: string }>(said: T | null, read: T): T {
  return said !== null && said.id === read.id && said.changed_at > read.changed_at ? said : read;
}

/** What of a search's address is kept. */
export const KEPT = ["text", "q", "agent", "root_task", "task", "tool", "kind", "severity", "order", "from", "to"] as const;
const SINCE = /^(?:\((.*)\) )?since:(\d+[mhdw])$/s;

/** The search of an address as the server keeps it: a range up to now becomes `since:` of its query. Empty when it asks for all. */
export function toSaved(query: URLSearchParams): string {
  const kept = new URLSearchParams();
  for (const name of KEPT) {
    const value = query.get(name) ?? "";
    if (value !== "") kept.set(name, value);
  }
  const range = query.get("range") ?? "";
  if (/^\d+[mhdw]$/.test(range)) {
    const asked = kept.get("q");
    kept.set("q", asked === null ? `since:${range}` : `(${asked}) since:${range}`);
  }
  return kept.toString();
}

/** A kept search as values of an address. */
export function fromSaved(saved: string): Record<string, string> {
  const values = Object.fromEntries(new URLSearchParams(saved));
  const since = SINCE.exec(values["q"] ?? "");
  if (since === null || values["from"] !== undefined || values["to"] !== undefined) return values;
  const { q: _, ...rest } = values;
  return { ...rest, range: since[2] ?? "", ...(since[1] === undefined ? {} : { q: since[1] }) };
}

/** Whether somebody may take a kept search away: its author, and admins. */
export function mayRemove(search: SavedSearch, me: Me | null): boolean {
  return me === null || search.author === me.name || me.roles.includes("admin");
}
