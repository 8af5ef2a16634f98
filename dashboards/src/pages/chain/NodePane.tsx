// One node of a chain: verdict, neighbours, findings, and the recorded event behind it.

import { api } from "../../api/client";
import type { Chain, ChainNode } from "../../api/types";
import { Response, Severity, Verdict } from "../../components/badges";
import { Icon } from "../../components/Icon";
import { Json } from "../../components/Json";
import { Proof } from "../../components/Proof";
import { Resolve } from "../../components/states";
import { Time } from "../../components/Time";
import { Value } from "../../components/Value";
import { EDGE_WORDS } from "../../chain/nodes";
import { agentName, refAt } from "../../format/text";
import { useResource } from "../../state/resource";
import { href } from "../../state/router";

interface Props {
  chain: Chain;
  node: ChainNode;
  select: (id: string) => void;
  close: () => void;
}

export function NodePane({ chain, node, select, close }: Props) {
  const resource = useResource(`event ${node.id}`, (signal) => api.event(node.id, signal));
  const findings = chain.findings.filter(
    (view) => view.ref === node.id || view.finding.events.some((event) => refAt(event.shard, event.offset) === node.id),
  );
  return (
    <aside className="panel pane" aria-label="Node">
      <div className="pane-head">
        <div>
          <h2>{node.title}</h2>
          <span className="row tight">
            <span className="tag">{node.kind}</span>
            {node.severity !== null && <Severity level={node.severity} />}
            {node.verdict !== null && <Verdict verdict={node.verdict} />}
          </span>
        </div>
        <button type="button" className="button quiet square" aria-label="Close" title="Close (Esc)" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div className="pane-body">
        {node.detail !== null && node.detail !== "" && <p className="wrap">{node.detail}</p>}
        {findings.map((view) => (
          <a key={view.finding.id} className="panel item" href={href("/findings", { open: view.finding.id })}>
            <span className="row">
              <Severity level={view.finding.severity} /> <span className="tag">{view.finding.rule.id}</span>
            </span>
            <p>{view.finding.reason}</p>
            <Response response={view.response} />
          </a>
        ))}
        <Facts node={node} />
        <Neighbours chain={chain} node={node} select={select} />
        <span>
          <a className="button small" href={href("/search", { root_task: chain.root_task, open: node.id })}>
            Open in search
          </a>
        </span>
        <Resolve resource={resource} what="the event">
          {(detail) => (
            <>
              <Json value={detail.event.data} />
              <Proof proof={detail.proof ?? null} />
            </>
          )}
        </Resolve>
      </div>
    </aside>
  );
}

function Facts({ node }: { node: ChainNode }) {
  return (
    <dl className="facts">
      <dt>Time</dt>
      <dd>
        <Time at={node.time} form="full" />
      </dd>
      {node.agent !== null && (
        <>
          <dt>Agent</dt>
          <dd>
            <Value field="agent" value={node.agent} inward>
              <a href={href(`/agents/${encodeURIComponent(node.agent)}`)}>{agentName(node.agent)}</a>
            </Value>
          </dd>
        </>
      )}
      {node.task !== null && (
        <>
          <dt>Task</dt>
          <dd>
            <Value field="task" value={node.task} inward />
          </dd>
        </>
      )}
      {node.tool !== null && (
        <>
          <dt>Tool</dt>
          <dd>
            <Value field="tool" value={node.tool} inward />
          </dd>
        </>
      )}
      <dt>Place</dt>
      <dd>
        <Value value={node.id} inward>
          <code>{node.id}</code>
        </Value>
      </dd>
    </dl>
  );
}

function Neighbours({ chain, node, select }: Pick<Props, "chain" | "node" | "select">) {
  const titles = new Map(chain.nodes.map((other) => [other.id, other.title]));
  const linked = chain.edges.flatMap((edge) => {
    if (edge.to === node.id) return [{ other: edge.from, word: EDGE_WORDS[edge.kind]?.back ?? edge.kind }];
    if (edge.from === node.id) return [{ other: edge.to, word: EDGE_WORDS[edge.kind]?.out ?? edge.kind }];
    return [];
  });
  if (linked.length === 0) return null;
  return (
    <section className="section">
      <h3>Linked with</h3>
      <ul className="stack tight">
        {linked.map(({ other, word }) => (
          <li key={`${word} ${other}`} className="row tight">
            <span className="muted">{word}</span>
            <button type="button" className="link" onClick={() => select(other)}>
              {titles.get(other) ?? other}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
