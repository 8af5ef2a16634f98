// What a node is, for its colour and for words.

import type { ChainNode, EdgeKind, Severity } from "../api/types";

export type NodeType = "tool" | "credential" | "envelope" | "approval" | "delegation" | "finding" | "response" | "other";

const PREFIXES: [prefix: string, type: NodeType][] = [
  ["tool_call.", "tool"],
  ["credential.", "credential"],
  ["task.", "envelope"],
  ["approval.", "approval"],
  ["delegation.", "delegation"],
  ["finding.", "finding"],
  ["response.", "response"],
  ["revocation.", "response"],
];

export function nodeType(node: ChainNode): NodeType {
  return PREFIXES.find(([prefix]) => node.kind.startsWith(prefix))?.[1] ?? "other";
}

/** Whether the node is an action outside its envelope. */
export function isOutside(node: ChainNode): boolean {
  return node.verdict === "outside";
}

/** The severity to show on a node: what follows from a finding need not repeat it. */
export function shownSeverity(node: ChainNode): Severity | null {
  return nodeType(node) === "response" ? null : node.severity;
}

/** The node in words, for those who hear the page. */
export function spoken(node: ChainNode): string {
  const parts = [node.kind.replaceAll(/[._]/g, " "), node.title];
  if (node.verdict !== null) parts.push(`${node.verdict} its envelope`);
  if (node.severity !== null) parts.push(`severity ${node.severity}`);
  return parts.join(", ");
}

export const EDGE_WORDS: Record<EdgeKind, { out: string; back: string }> = {
  calls: { out: "then calls", back: "called after" },
  completes: { out: "completed by", back: "completes" },
  uses: { out: "uses", back: "used by" },
  issues: { out: "issues", back: "issued by" },
  delegates: { out: "delegates to", back: "delegated by" },
  approves: { out: "approves", back: "approved by" },
  finds: { out: "leads to", back: "found in" },
  responds: { out: "answered by", back: "answers" },
  delivers: { out: "delivered as", back: "delivers" },
};
