// Where the nodes of an action chain stand: one lane per task, then lanes for findings and responses; time runs down.

import type { Chain, ChainNode, ChainTask } from "../api/types";
import { agentName } from "../format/text";

export const LANE_WIDTH = 236;
export const ROW_HEIGHT = 58;
export const NODE_WIDTH = 196;
export const NODE_HEIGHT = 40;
export const HEADER_HEIGHT = 56;

export interface Lane {
  key: string;
  title: string;
  subtitle: string;
  depth: number;
}

export interface Placed {
  node: ChainNode;
  lane: number;
  row: number;
  /** Left upper corner. */
  x: number;
  y: number;
}

export interface Layout {
  lanes: Lane[];
  placed: Placed[];
  byId: Map<string, Placed>;
  width: number;
  height: number;
}

const FINDINGS = "\u0000findings";
const RESPONSES = "\u0000responses";

/** Tasks as they delegate each other, each with its depth. A task whose parent is missing, or in a circle, is a root. */
export function taskTree(tasks: ChainTask[]): { task: ChainTask; depth: number }[] {
  const ids = new Set(tasks.map((task) => task.id));
  const children = new Map<string, ChainTask[]>();
  const roots: ChainTask[] = [];
  for (const task of tasks) {
    if (task.parent !== null && task.parent !== task.id && ids.has(task.parent)) {
      children.set(task.parent, [...(children.get(task.parent) ?? []), task]);
    } else {
      roots.push(task);
    }
  }
  const ordered: { task: ChainTask; depth: number }[] = [];
  const seen = new Set<string>();
  const walk = (start: ChainTask) => {
    const stack = [{ task: start, depth: 0 }];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (seen.has(next.task.id)) continue;
      seen.add(next.task.id);
      ordered.push(next);
      const below = children.get(next.task.id) ?? [];
      for (const child of below.toReversed()) stack.push({ task: child, depth: next.depth + 1 });
    }
  };
  for (const root of roots) walk(root);
  for (const task of tasks) walk(task);
  return ordered;
}

/** Which lane a node belongs to. */
export function laneKey(node: ChainNode): string {
  if (node.kind.startsWith("finding.")) return FINDINGS;
  if (node.kind.startsWith("response.") || node.kind.startsWith("revocation.")) return RESPONSES;
  return node.task ?? `agent ${node.agent ?? ""}`;
}

function lanesOf(chain: Chain): Lane[] {
  const used = new Set(chain.nodes.map(laneKey));
  const lanes: Lane[] = [];
  const known = new Set<string>();
  for (const { task, depth } of taskTree(chain.tasks)) {
    known.add(task.id);
    // Without an envelope it is known from the events only who did it.
    const agent = task.agent ?? chain.nodes.find((node) => laneKey(node) === task.id && node.agent !== null)?.agent ?? null;
    if (used.has(task.id)) lanes.push({ key: task.id, title: agentName(agent), subtitle: task.id, depth });
  }
  for (const node of chain.nodes) {
    const key = laneKey(node);
    if (known.has(key) || key === FINDINGS || key === RESPONSES) continue;
    known.add(key);
    lanes.push({ key, title: agentName(node.agent), subtitle: node.task ?? "without a task", depth: 0 });
  }
  if (used.has(FINDINGS)) lanes.push({ key: FINDINGS, title: "Findings", subtitle: "ambit analyzer", depth: 0 });
  if (used.has(RESPONSES)) lanes.push({ key: RESPONSES, title: "Responses", subtitle: "ambit enforcement", depth: 0 });
  return lanes;
}

/** Nodes in the order of time; those without a time keep their place after the one before them. */
export function inOrder(nodes: ChainNode[]): ChainNode[] {
  let last = Number.NEGATIVE_INFINITY;
  const keyed = nodes.map((node, index) => {
    const time = node.time === null ? Number.NaN : Date.parse(node.time);
    last = Number.isNaN(time) ? last : time;
    return { node, index, time: last };
  });
  return keyed.toSorted((a, b) => a.time - b.time || a.index - b.index).map((entry) => entry.node);
}

/** Places all nodes. A node shares its row with the one before it only when its lane is free there. */
export function layoutChain(chain: Chain): Layout {
  const lanes = lanesOf(chain);
  const index = new Map(lanes.map((lane, position) => [lane.key, position]));
  const placed: Placed[] = [];
  const byId = new Map<string, Placed>();
  const taken = new Set<number>();
  let row = 0;
  for (const node of inOrder(chain.nodes)) {
    if (byId.has(node.id)) continue;
    const lane = index.get(laneKey(node)) ?? 0;
    if (taken.has(lane)) {
      row += 1;
      taken.clear();
    }
    taken.add(lane);
    const place: Placed = {
      node,
      lane,
      row,
      x: lane * LANE_WIDTH + (LANE_WIDTH - NODE_WIDTH) / 2,
      y: HEADER_HEIGHT + row * ROW_HEIGHT + (ROW_HEIGHT - NODE_HEIGHT) / 2,
    };
    placed.push(place);
    byId.set(node.id, place);
  }
  const rows = placed.length === 0 ? 0 : row + 1;
  return { lanes, placed, byId, width: lanes.length * LANE_WIDTH, height: HEADER_HEIGHT + rows * ROW_HEIGHT + 12 };
}

/** The line of an edge: straight down to the next row, around nodes in its own lane, curved to another. */
export function edgePath(from: Placed, to: Placed): string {
  const middle = NODE_HEIGHT / 2;
  if (from.lane === to.lane) {
    const [upper, lower] = from.row <= to.row ? [from, to] : [to, from];
    const centre = upper.x + NODE_WIDTH / 2;
    if (lower.row - upper.row <= 1) return `M${centre},${from.y + NODE_HEIGHT} L${centre},${to.y - 2}`;
    const left = from.x;
    const bulge = Math.min(17, 7 + (lower.row - upper.row) * 2);
    const [start, end] = [from.y + middle, to.y + middle];
    return `M${left},${start} C${left - bulge},${start} ${left - bulge},${end} ${left - 2},${end}`;
  }
  const forward = to.lane > from.lane;
  const startX = forward ? from.x + NODE_WIDTH : from.x;
  const endX = forward ? to.x - 2 : to.x + NODE_WIDTH + 2;
  const [startY, endY] = [from.y + middle, to.y + middle];
  const bend = Math.max(20, Math.abs(endX - startX) / 2) * (forward ? 1 : -1);
  return `M${startX},${startY} C${startX + bend},${startY} ${endX - bend},${endY} ${endX},${endY}`;
}
