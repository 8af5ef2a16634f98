// The chain as a graph: a lane per task, time downwards, lines by kind.

import { useEffect, useMemo } from "react";
import { EDGE_KINDS, type Chain, type ChainNode } from "../../api/types";
import { Icon } from "../../components/Icon";
import { edgePath, HEADER_HEIGHT, LANE_WIDTH, layoutChain, NODE_HEIGHT, NODE_WIDTH, type Placed } from "../../chain/layout";
import { isOutside, nodeType, shownSeverity, spoken } from "../../chain/nodes";
import { ending, shorten } from "../../format/text";
import { formatClock } from "../../format/time";
import { useZone } from "../../state/prefs";
import { useView } from "./useView";

interface Props {
  chain: Chain;
  selected: ChainNode | null;
  select: (id: string) => void;
  /** Nodes that answer the search; null when nothing is searched for. */
  hits: ReadonlySet<string> | null;
}

const STEP = 60;

export function Graph({ chain, selected, select, hits }: Props) {
  const layout = useMemo(() => layoutChain(chain), [chain]);
  const { view, frame, zoom, move, fit, show } = useView(layout);
  const place = selected === null ? undefined : layout.byId.get(selected.id);
  useEffect(() => {
    if (place !== undefined) show({ x: place.x, y: place.y, width: NODE_WIDTH, height: NODE_HEIGHT });
  }, [place, show]);
  const onKeyDown = (event: React.KeyboardEvent) => {
    const actions: Record<string, () => void> = {
      "+": () => zoom(1.25),
      "=": () => zoom(1.25),
      "-": () => zoom(0.8),
      "0": fit,
      ArrowLeft: () => move(STEP, 0),
      ArrowRight: () => move(-STEP, 0),
      ArrowUp: () => move(0, STEP),
      ArrowDown: () => move(0, -STEP),
    };
    const action = actions[event.key];
    if (action === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  };
  const related = place === undefined ? null : place.node.id;
  return (
    // The picture takes keys for moving it; its nodes are buttons of their own.
    // oxlint-disable-next-line jsx-a11y/no-static-element-interactions
    <div className="canvas" onKeyDown={onKeyDown}>
      <svg ref={frame} tabIndex={0} role="group" aria-label="Graph of the chain; plus, minus, 0 and arrow keys move it, j and k go through the nodes">
        <defs>
          {EDGE_KINDS.map((kind) => (
            <marker key={kind} id={`arrow-${kind}`} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse" markerUnits="userSpaceOnUse">
              <path d="M0,0.5 L7.5,4 L0,7.5 z" className={`arrow ${kind}`} />
            </marker>
          ))}
        </defs>
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {layout.lanes.map((lane, index) => (
            <g key={lane.key}>
              <rect className={index % 2 === 0 ? "lane-ground" : "lane-ground odd"} x={index * LANE_WIDTH + 3} y={0} width={LANE_WIDTH - 6} height={layout.height} rx={8} />
              <text className="lane-title" x={index * LANE_WIDTH + 20} y={24}>
                {lane.depth > 0 && "↳ "}
                {ending(lane.title, 24)}
              </text>
              <text className="lane-sub" x={index * LANE_WIDTH + 20} y={HEADER_HEIGHT - 14}>
                {shorten(lane.subtitle, 30)}
              </text>
            </g>
          ))}
          {chain.edges.map((edge) => {
            const from = layout.byId.get(edge.from);
            const to = layout.byId.get(edge.to);
            if (from === undefined || to === undefined) return null;
            const dim = related !== null && related !== edge.from && related !== edge.to;
            return (
              <path
                key={`${edge.from} ${edge.to} ${edge.kind}`}
                className={`edge ${edge.kind}${dim ? " dim" : ""}`}
                d={edgePath(from, to)}
                markerEnd={`url(#arrow-${edge.kind})`}
              />
            );
          })}
          {layout.placed.map((placed, index) => (
            <Node
              key={placed.node.id}
              placed={placed}
              selected={placed.node.id === selected?.id}
              reachable={selected === null ? index === 0 : placed.node.id === selected.id}
              hit={hits === null ? null : hits.has(placed.node.id)}
              select={select}
            />
          ))}
        </g>
      </svg>
      <div className="zoom" role="group" aria-label="Zoom">
        <button type="button" className="button square" aria-label="Zoom in" title="Zoom in (+)" onClick={() => zoom(1.25)}>
          <Icon name="plus" small />
        </button>
        <button type="button" className="button square" aria-label="Zoom out" title="Zoom out (-)" onClick={() => zoom(0.8)}>
          <Icon name="minus" small />
        </button>
        <button type="button" className="button square" aria-label="Fit" title="Fit (0)" onClick={fit}>
          <Icon name="fit" small />
        </button>
      </div>
    </div>
  );
}

interface NodeProps {
  placed: Placed;
  selected: boolean;
  reachable: boolean;
  hit: boolean | null;
  select: (id: string) => void;
}

function Node({ placed, selected, reachable, hit, select }: NodeProps) {
  const zone = useZone();
  const { node, x, y } = placed;
  const names = ["node", `type-${nodeType(node)}`];
  if (isOutside(node)) names.push("outside");
  if (selected) names.push("selected");
  if (hit === true) names.push("hit");
  if (hit === false) names.push("dim");
  const clock = node.time === null ? "" : formatClock(node.time, zone, Date.parse(node.time));
  const flag = shownSeverity(node) ?? (isOutside(node) ? "outside" : null);
  return (
    <g
      className={names.join(" ")}
      transform={`translate(${x} ${y})`}
      role="button"
      tabIndex={reachable ? 0 : -1}
      aria-pressed={selected}
      aria-label={spoken(node)}
      onClick={() => select(node.id)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        select(node.id);
      }}
    >
      <title>{`${node.title}\n${node.detail ?? ""}`}</title>
      <rect className="box" width={NODE_WIDTH} height={NODE_HEIGHT} rx={6} />
      <rect className="mark" x={0} y={7} width={3.5} height={NODE_HEIGHT - 14} rx={1.75} />
      <text className="title" x={12} y={17}>
        {ending(node.title, 23)}
      </text>
      <text className="sub" x={12} y={31}>
        {clock.replace(/ UTC.*/, "")} {flag === null && ending(node.kind.split(".").at(-1) ?? "", 14)}
      </text>
      {flag !== null && (
        <text className={`flag ${flag === "outside" ? "critical" : flag}`} x={NODE_WIDTH - 8} y={31} textAnchor="end">
          {flag.toUpperCase()}
        </text>
      )}
    </g>
  );
}
