import { describe, expect, it } from "vitest";
import type { Chain, ChainEdge, ChainNode, ChainTask } from "../api/types";
import { edgePath, inOrder, layoutChain, taskTree } from "./layout";
import { joinPages, loadPages } from "./pages";
import { matches, ticks, timelineOf } from "./timeline";
import { fitView, reveal, zoomView } from "../pages/chain/useView";

const at = (second: number) => new Date(Date.UTC(2026, 10, 24, 10, 0, second)).toISOString();
const node = (id: string, second: number | null, more: Partial<ChainNode> = {}): ChainNode => ({
  id, kind: "tool_call.requested", time: second === null ? null : at(second), agent: "a", task: "t", tool: null, title: id, detail: null,
  severity: null, verdict: null, ...more,
});
const task = (id: string, parent: string | null): ChainTask => ({ id, parent, agent: `agent/${id}`, envelope: null, closed: null, outcome: null });
const chain = (nodes: ChainNode[], tasks: ChainTask[] = [task("t", null)], edges: ChainEdge[] = []): Chain => ({
  root_task: "t", purpose: null, tasks, nodes, edges, findings: [], truncated: false, next_cursor: null,
});

describe("tasks", () => {
  it("stand below those that delegated them", () => {
    const tree = taskTree([task("b", "a"), task("a", null), task("c", "b"), task("d", "a")]);
    expect(tree.map(({ task: { id }, depth }) => `${id}${depth}`)).toEqual(["a0", "b1", "c2", "d1"]);
  });
  it("in a circle, or without their parent, are shown all the same", () => {
    const tree = taskTree([task("a", "b"), task("b", "a"), task("lost", "gone")]);
    expect(new Set(tree.map((entry) => entry.task.id))).toEqual(new Set(["a", "b", "lost"]));
  });
});

describe("pages", () => {
  const page = (from: number, cursor: string | null): Chain => ({
    ...chain([node(`${from}`, from), node(`${from + 1}`, from + 1)], [{ ...task("t", null), closed: cursor === null ? at(9) : null }]),
    edges: [{ from: "1", to: `${from}`, kind: "calls" }], truncated: cursor !== null, next_cursor: cursor, purpose: from === 1 ? "Pay" : null,
  });
  const pages: Record<string, Chain> = { "": page(1, "b"), b: page(3, "c"), c: page(5, null) };
  const loader = () => {
    const asked: string[] = [];
    const load = async (cursor: string | null) => {
      asked.push(cursor ?? "");
      const found = pages[cursor ?? ""];
      if (found === undefined) throw new Error("no such page");
      return found;
    };
    return { asked, load };
  };

  it("are one chain, each event once, and the last word on a task holds", async () => {
    const { load } = loader();
    const joined = joinPages(await loadPages([], 9, load));
    expect(joined.nodes.map((one) => one.id)).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(joined).toMatchObject({ purpose: "Pay", truncated: false, next_cursor: null, tasks: [{ id: "t", closed: at(9) }] });
    expect(joined.edges).toHaveLength(3);
    expect(joinPages([page(1, "b"), page(1, "b")]).nodes).toHaveLength(2);
  });

  it("are loaded as far as wanted, and what is held is not asked for again", async () => {
    const first = loader();
    const held = await loadPages([], 1, first.load);
    expect([first.asked, joinPages(held).truncated]).toEqual([[""], true]);
    const second = loader();
    expect((await loadPages(held, 2, second.load)).length).toBe(2);
    expect(second.asked).toEqual(["b"]);
  });
});

describe("layout", () => {
  it("puts each node once, down in time, never two in one place", () => {
    const nodes = [
      node("2", 2), node("1", 1), node("3", 3, { task: "u" }), node("4", 4, { task: "u" }), node("1", 1),
      node("f", 4, { kind: "finding.created" }), node("r", 5, { kind: "response.decided" }),
    ];
    const layout = layoutChain(chain(nodes, [task("t", null), task("u", "t")]));
    expect(layout.placed.map((place) => place.node.id)).toEqual(["1", "2", "3", "4", "f", "r"]);
    expect(layout.lanes.map((lane) => lane.title)).toEqual(["t", "u", "Findings", "Responses"]);
    expect(layoutChain(chain([node("1", 1)], [{ ...task("t", null), agent: null }])).lanes[0]?.title).toBe("a");
    const places = layout.placed.map((place) => `${place.x},${place.y}`);
    expect(new Set(places).size).toBe(places.length);
    const rows = layout.placed.map((place) => place.row);
    expect(rows).toEqual(rows.toSorted((a, b) => a - b));
    expect(layout.height).toBeGreaterThan(layout.placed.at(-1)?.y ?? Number.POSITIVE_INFINITY);
  });
  it("has a lane for nodes whose task is not listed, and for those without one", () => {
    const layout = layoutChain(chain([node("1", 1, { task: "unlisted" }), node("2", 2, { task: null })]));
    expect(layout.lanes.map((lane) => lane.subtitle)).toEqual(["unlisted", "without a task"]);
  });
  it("of nothing is nothing", () => {
    expect(layoutChain(chain([])).placed).toEqual([]);
  });
  it("keeps nodes without a time after the one before them", () => {
    expect(inOrder([node("a", 5), node("b", null), node("c", 1)]).map(({ id }) => id)).toEqual(["c", "a", "b"]);
  });
  it("draws every edge with finite numbers", () => {
    const layout = layoutChain(chain([node("1", 1), node("2", 2), node("3", 3), node("f", 3, { kind: "finding.created" })]));
    const [a, b, c, f] = layout.placed;
    if (a === undefined || b === undefined || c === undefined || f === undefined) throw new Error("four nodes are placed");
    for (const [from, to] of [[a, b], [a, c], [c, a], [a, f], [f, a]] as const) expect(edgePath(from, to)).not.toMatch(/NaN|Infinity/);
  });
});

describe("timeline", () => {
  const nodes = [node("q", 1), node("a", 3, { kind: "tool_call.completed" }), node("x", 11)];
  it("folds an answer into its request, whichever way the edge is drawn", () => {
    for (const [from, to] of [["q", "a"], ["a", "q"]] as const) {
      const { rows, span } = timelineOf(chain(nodes, [task("t", null)], [{ from, to, kind: "completes" }]));
      expect(rows.map((row) => [row.node.id, row.start, row.length])).toEqual([["q", 0, 2000], ["x", 10_000, null]]);
      expect(span).toBe(10_000);
    }
  });
  it("survives edges that lead nowhere, and nodes without a time", () => {
    const { rows, span } = timelineOf(chain([node("q", null)], [], [{ from: "q", to: "gone", kind: "completes" }]));
    expect(rows).toHaveLength(1);
    expect(span).toBe(1);
  });
  it("has few round steps", () => {
    expect(ticks(5300)).toEqual([0, 1000, 2000, 3000, 4000, 5000]);
    expect(ticks(1).length).toBeLessThan(8);
    for (const span of [7, 99, 12_345, 86_400_000]) expect(ticks(span).length).toBeLessThanOrEqual(8);
  });
});

describe("search in a chain", () => {
  it("wants all words, in any field", () => {
    const sent = node("1", 1, { title: "send_money", verdict: "outside", agent: "spiffe://x/billing-2" });
    expect(matches(sent, "MONEY billing")).toBe(true);
    expect(matches(sent, "money support")).toBe(false);
    expect(matches(sent, "  ")).toBe(false);
  });
});

describe("view", () => {
  const picture = { width: 1000, height: 4000 };
  const screen = { width: 500, height: 400 };
  it("fits the whole, and never enlarges for it", () => {
    const whole = fitView(picture, screen, false);
    expect(picture.height * whole.scale).toBeLessThanOrEqual(screen.height * 1.5);
    expect(fitView({ width: 10, height: 10 }, screen, false).scale).toBe(1);
  });
  it("keeps the point under the pointer when zooming", () => {
    const before = { x: 10, y: 20, scale: 1 };
    const after = zoomView(before, 2, { x: 110, y: 120 });
    expect((110 - after.x) / after.scale).toBeCloseTo((110 - before.x) / before.scale);
    expect(zoomView(before, 1000, { x: 0, y: 0 }).scale).toBeLessThan(3);
  });
  it("moves only when a box cannot be seen", () => {
    const view = { x: 0, y: 0, scale: 1 };
    expect(reveal(view, { x: 100, y: 100, width: 50, height: 50 }, screen)).toBe(view);
    expect(reveal(view, { x: 100, y: 900, width: 50, height: 50 }, screen).y).toBeLessThan(0);
  });
});
