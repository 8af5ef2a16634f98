// A chain that comes page by page, as one.

import type { Chain } from "../api/types";

/** Pages of one chain, joined: what a later one says of a task holds; each event stands once. */
export function joinPages(pages: [Chain, ...Chain[]]): Chain {
  const [first] = pages;
  const last = pages.at(-1) ?? first;
  const tasks = new Map(pages.flatMap((page) => page.tasks.map((task) => [task.id, task])));
  const nodes = new Map(pages.flatMap((page) => page.nodes.map((node) => [node.id, node])));
  return {
    root_task: first.root_task,
    purpose: pages.map((page) => page.purpose).find((purpose) => purpose !== null) ?? null,
    tasks: [...tasks.values()],
    nodes: [...nodes.values()],
    edges: pages.flatMap((page) => page.edges),
    findings: pages.flatMap((page) => page.findings),
    truncated: last.truncated,
    next_cursor: last.next_cursor,
  };
}

/** Loads as many pages as are wanted, or as there are; those that are held are not asked for again. */
export async function loadPages(held: Chain[], wanted: number, load: (cursor: string | null) => Promise<Chain>): Promise<[Chain, ...Chain[]]> {
  const pages: [Chain, ...Chain[]] = [held[0] ?? (await load(null)), ...held.slice(1)];
  for (let cursor = pages.at(-1)?.next_cursor ?? null; cursor !== null && pages.length < wanted; ) {
    const page = await load(cursor);
    pages.push(page);
    cursor = page.next_cursor;
  }
  return pages;
}
