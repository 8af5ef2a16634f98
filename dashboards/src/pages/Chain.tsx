// The action chain of a root task: as a graph or as a timeline, with one node's details beside it.

import { useMemo, useRef, useState } from "react";
import { api } from "../api/client";
import { SEVERITIES, type Chain } from "../api/types";
import { Severity } from "../components/badges";
import { Icon } from "../components/Icon";
import { PageHead } from "../components/Panel";
import { Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { TextFilter } from "../components/Filters";
import { inOrder } from "../chain/layout";
import { isOutside } from "../chain/nodes";
import { joinPages, loadPages } from "../chain/pages";

import { matches } from "../chain/timeline";
import { plural, words } from "../format/text";
import { useKeys } from "../state/keys";
import { useResource, type Resource } from "../state/resource";
import { href, useQuery } from "../state/router";
import { Graph } from "./chain/Graph";
import { Legend } from "./chain/Legend";
import { NodePane } from "./chain/NodePane";
import { TimelineView } from "./chain/TimelineView";

/** Milliseconds between looks at a chain in which something is still to come. */
const WATCH = 4000;

/** Whether a task is open, or a response has not arrived. */
export function unfinished(chain: Chain): boolean {
  const pending = chain.findings.some((view) => view.response?.deliveries.some((delivery) => delivery.state === "pending") ?? true);
  return pending || chain.tasks.some((task) => task.closed === null);
}

/** Events that are loaded at once: as many as a picture can be read with. */
const PAGE = 1000;
/** Around one event: steps, and events. */
const AROUND = { depth: 30, limit: 300 };

interface Growing {
  resource: Resource<Chain>;
  /** Loads the next page; null when there is none. */
  more: (() => void) | null;
}

/** A chain of which more is loaded on demand. While something is still to come it is looked at again, as long as it is short. */
function useChain(task: string, around: string | null): Growing {
  const [every, setEvery] = useState(0);
  const held = useRef<Chain[]>([]);
  const wanted = useRef(1);
  const keeps = useRef(false);
  const load = async (signal: AbortSignal) => {
    if (around !== null) {
      setEvery(0);
      return api.around(around, AROUND, signal);
    }
    // Pages that were loaded are asked for again, except when only one more is wanted.
    const before = keeps.current ? held.current : [];
    keeps.current = false;
    const pages = await loadPages(before, wanted.current, (cursor) => api.chain(task, { cursor, limit: PAGE }, signal));
    held.current = pages;
    const chain = joinPages(pages);
    setEvery(chain.next_cursor === null && pages.length === 1 && unfinished(chain) ? WATCH : 0);
    return chain;
  };
  const resource = useResource(`chain ${task} ${around ?? ""}`, load, every);
  const more = () => {
    wanted.current = held.current.length + 1;
    keeps.current = true;
    resource.reload();
  };
  return { resource, more: around === null && (resource.data?.next_cursor ?? null) !== null ? more : null };
}

export function ChainPage({ task }: { task: string }) {
  const [query] = useQuery();
  const around = query.get("around");
  const { resource, more } = useChain(task, around);
  const chain = resource.data;
  return (
    <>
      <PageHead
        title={
          <>
            <a className="crumb" href={href("/chains")}>
              Chains
            </a>
            <br />
            {chain?.purpose ?? task}
          </>
        }
        about={chain === null ? undefined : <Summary chain={chain} />}
      >
        {chain !== null && <Pivot chain={chain} />}
        <button type="button" className="button square" aria-label="Load again" title="Load again" onClick={resource.reload}>
          <Icon name="reload" small />
        </button>
      </PageHead>
      <Resolve
        resource={resource}
        what="the chain"
        empty={(data) =>
          data.nodes.length > 0 ? null : (
            <section className="panel">
              <Empty title="This chain is empty" icon="chains">
                <p>
                  No recorded event belongs to the root task <code>{task}</code>: it may not have begun, its events may not
                  be stored yet, or the id may be that of a delegated task. <a href={href("/search", { task })}>Search for the task</a>.
                </p>
              </Empty>
            </section>
          )
        }
      >
        {(data) => (
          <>
            <Extent chain={data} around={around} more={more} loading={resource.loading} />
            <Views chain={data} />
          </>
        )}
      </Resolve>
    </>
  );
}

/** How much of the chain is shown, and the way to more of it. */
function Extent(props: { chain: Chain; around: string | null; more: (() => void) | null; loading: boolean }) {
  const { chain, around, more, loading } = props;
  const [query] = useQuery();
  const path = `/chains/${encodeURIComponent(chain.root_task)}`;
  const select = query.get("select");
  const absent = select !== null && !chain.nodes.some((node) => node.id === select);
  if (around !== null) {
    return (
      <div className="banner news" role="status">
        <Icon name="chains" small />
        <span>
          What led to {around}, and what it led to{chain.truncated ? ", as far as one answer goes" : ""}.
        </span>
        <a className="button small" href={href(path, { select: around })}>
          The chain from its beginning
        </a>
      </div>
    );
  }
  if (!chain.truncated && !absent) return null;
  return (
    <div className="banner news" role="status">
      <Icon name="chains" small />
      <span>
        {absent
          ? `The event ${select} is not among the first ${plural(chain.nodes.length, "event")}.`
          : `The first ${plural(chain.nodes.length, "event")} of this chain are shown${more === null ? ": it is longer than what is read of one. The search has them all" : ""}.`}
      </span>
      {absent && (
        <a className="button small" href={href(path, { around: select, select })}>
          What led to it and what it led to
        </a>
      )}
      {more !== null && (
        <button type="button" className="button small" disabled={loading} onClick={more}>
          {loading ? "Loading …" : "Load more"}
        </button>
      )}
    </div>
  );
}

function Summary({ chain }: { chain: Chain }) {
  const outside = chain.nodes.filter((node) => isOutside(node) && !node.kind.endsWith(".completed")).length;
  const outcome = chain.tasks.find((task) => task.id === chain.root_task)?.outcome ?? null;
  return (
    <span className="row">
      <code>{chain.root_task}</code>
      <span>
        {plural(chain.tasks.length, "task")}, {plural(chain.nodes.length, "event")}
        {outcome === null ? ", open" : `, ${words(outcome).toLowerCase()}`}
      </span>
      {outside > 0 && <span className="badge critical">{outside} outside the envelope</span>}
      {SEVERITIES.map((level) => {
        const count = chain.findings.filter((view) => view.finding.severity === level).length;
        return count === 0 ? null : (
          <a key={level} className="row tight" href={href("/findings", { task: chain.root_task })}>
            {plural(count, "finding")} <Severity level={level} />
          </a>
        );
      })}
    </span>
  );
}

/** The search for this task's events, within the time of the chain. */
function Pivot({ chain }: { chain: Chain }) {
  const times = chain.nodes.map((node) => Date.parse(node.time ?? "")).filter((time) => !Number.isNaN(time));
  const bound = (time: number) => new Date(time).toISOString();
  const span = times.length === 0 ? {} : { from: bound(Math.min(...times) - 1000), to: bound(Math.max(...times) + 1000) };
  return (
    <a className="button" href={href("/search", { root_task: chain.root_task, ...span })}>
      <Icon name="search" small /> Search these events
    </a>
  );
}

function Views({ chain }: { chain: Chain }) {
  const [query, change] = useQuery();
  const view = query.get("view") === "timeline" ? "timeline" : "graph";
  const text = query.get("q") ?? "";
  const ordered = useMemo(() => inOrder(chain.nodes), [chain]);
  const hits = useMemo(() => ordered.filter((node) => matches(node, text)), [ordered, text]);
  const hitIds = useMemo(() => (text.trim() === "" ? null : new Set(hits.map((node) => node.id))), [hits, text]);
  const selected = ordered.find((node) => node.id === query.get("select")) ?? null;
  const select = (id: string | null) => change({ select: id });
  const step = (by: number) => {
    const at = selected === null ? (by > 0 ? -1 : ordered.length) : ordered.indexOf(selected);
    const next = ordered[Math.min(Math.max(at + by, 0), ordered.length - 1)];
    if (next !== undefined) select(next.id);
  };
  const nextHit = () => {
    const at = selected === null ? -1 : ordered.indexOf(selected);
    const next = hits.find((node) => ordered.indexOf(node) > at) ?? hits[0];
    if (next !== undefined) select(next.id);
  };
  useKeys({ j: () => step(1), k: () => step(-1), n: nextHit, Escape: () => select(null) });
  return (
    <>
      <div className={selected === null ? "split" : "split with-pane"}>
        <section className="panel" aria-label="Action chain">
          <div className="panel-head">
            <span className="segments">
              {(["graph", "timeline"] as const).map((name) => (
                <button
                  key={name}
                  type="button"
                  className="button"
                  aria-pressed={view === name}
                  onClick={() => change({ view: name === "graph" ? null : name })}
                >
                  {words(name)}
                </button>
              ))}
            </span>
            <form
              className="row chain-search"
              role="search"
              onSubmit={(event) => {
                event.preventDefault();
                nextHit();
              }}
            >
              <TextFilter label="Search in this chain" wide value={text} placeholder="tool, agent, kind   ( / )" take={(q) => change({ q })} />
              {text !== "" && (
                <>
                  <span role="status" className="nowrap">
                    {plural(hits.length, "match", "matches")}
                  </span>
                  <button type="button" className="button small" disabled={hits.length === 0} onClick={nextHit}>
                    Next
                  </button>
                </>
              )}
            </form>
            <span className="muted nowrap">
              from <Time at={ordered[0]?.time} />
            </span>
          </div>
          {view === "graph" ? (
            <>
              <Legend chain={chain} />
              <Graph chain={chain} selected={selected} select={select} hits={hitIds} />
            </>
          ) : (
            <TimelineView chain={chain} selected={selected} select={select} hits={hitIds} />
          )}
        </section>
        {selected !== null && (
          <NodePane key={selected.id} chain={chain} node={selected} select={select} close={() => select(null)} />
        )}
      </div>
    </>
  );
}
