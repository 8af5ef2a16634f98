// The chain as a timeline: a row per call or event, a bar from request to answer.

import { useEffect, useMemo, useRef } from "react";
import type { Chain, ChainNode } from "../../api/types";
import { Severity } from "../../components/badges";
import { isOutside, nodeType, shownSeverity, spoken } from "../../chain/nodes";
import { ticks, timelineOf, type Row } from "../../chain/timeline";
import { agentName } from "../../format/text";
import { formatDuration } from "../../format/time";

interface Props {
  chain: Chain;
  selected: ChainNode | null;
  select: (id: string) => void;
  hits: ReadonlySet<string> | null;
}

const contains = (row: Row, id: string | undefined) => id !== undefined && (row.node.id === id || row.end?.id === id);

export function TimelineView({ chain, selected, select, hits }: Props) {
  const timeline = useMemo(() => timelineOf(chain), [chain]);
  const marks = useMemo(() => ticks(timeline.span), [timeline]);
  const list = useRef<HTMLDivElement>(null);
  const id = selected?.id;
  useEffect(() => {
    if (id !== undefined) list.current?.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
  }, [id]);
  const at = (milliseconds: number) => `${Math.min(100, (milliseconds / timeline.span) * 100)}%`;
  return (
    <div className="timeline" ref={list} role="list" aria-label="Timeline of the chain">
      <div className="timeline-row head" role="presentation">
        <span>Action</span>
        <span className="timeline-track" aria-hidden="true">
          <svg>
            {marks.map((mark) => (
              <text key={mark} className="tick-label" x={at(mark)} y={20} textAnchor={mark > timeline.span * 0.93 ? "end" : mark === 0 ? "start" : "middle"}>
                {formatDuration(mark)}
              </text>
            ))}
          </svg>
        </span>
        <span className="number">Took</span>
      </div>
      {timeline.rows.map((row) => (
        <RowView
          key={row.node.id}
          row={row}
          at={at}
          marks={marks}
          selected={contains(row, id)}
          hit={hits === null ? null : hits.has(row.node.id) || (row.end !== null && hits.has(row.end.id))}
          select={() => select(row.node.id)}
        />
      ))}
    </div>
  );
}

interface RowProps {
  row: Row;
  at: (milliseconds: number) => string;
  marks: number[];
  selected: boolean;
  hit: boolean | null;
  select: () => void;
}

function RowView({ row, at, marks, selected, hit, select }: RowProps) {
  const { node, depth } = row;
  const severity = shownSeverity(node);
  const outside = isOutside(node) ? " outside" : "";
  const tone = `bar type-${nodeType(node)}${outside}`;
  const names = ["timeline-row", hit === true ? "hit" : hit === false ? "dim" : ""];
  const wide = row.length === null ? null : at(row.length);
  return (
    <div role="listitem">
      <div
        className={names.join(" ")}
        role="button"
        tabIndex={0}
        aria-current={selected}
        aria-label={spoken(node)}
        onClick={select}
        onKeyDown={(event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          select();
        }}
      >
        <span className="timeline-label">
          {Array.from({ length: Math.min(depth, 6) }, (_, level) => (
            <span key={`level-${level}`} className="indent" />
          ))}
          <svg viewBox="0 0 8 8" aria-hidden="true">
            <rect className={tone} width="8" height="8" rx="2" />
          </svg>
          <span className="clip">{node.title}</span>
          {severity !== null && <Severity level={severity} />}
          {severity === null && outside !== "" && <span className="badge critical">Outside</span>}
          <span className="faint clip">{agentName(node.agent)}</span>
        </span>
        <span className="timeline-track" aria-hidden="true">
          <svg>
            {marks.map((mark) => (
              <line key={mark} className="tick" x1={at(mark)} x2={at(mark)} y1={0} y2="100%" />
            ))}
            {wide === null ? (
              <circle className={tone} cx={at(row.start)} cy={16} r={4} />
            ) : (
              <rect className={tone} x={at(row.start)} y={10} width={wide} height={12} rx={3} style={{ minWidth: 3 }} />
            )}
          </svg>
        </span>
        <span className="number muted nowrap">{row.length === null ? "" : formatDuration(row.length)}</span>
      </div>
    </div>
  );
}
