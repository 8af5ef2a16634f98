// Which page an address means.

import { useEffect, type ReactNode } from "react";
import { Shell } from "./components/Shell";
import { Empty } from "./components/states";
import { TokenForm } from "./components/TokenForm";
import { AgentPage } from "./pages/Agent";
import { Agents } from "./pages/Agents";
import { Approvals } from "./pages/Approvals";
import { ChainPage } from "./pages/Chain";
import { Cases } from "./pages/Cases";
import { Chains } from "./pages/Chains";
import { DeadLetters } from "./pages/DeadLetters";
import { Findings } from "./pages/Findings";
import { Integrity } from "./pages/Integrity";
import { Overview } from "./pages/Overview";
import { Search } from "./pages/Search";
import { href, match, parseHash, useHash } from "./state/router";
import { useStore } from "./state/store";
import { tokenStore } from "./state/token";

type Route = [pattern: string, title: string, page: (parameters: Record<string, string>) => ReactNode];

const ROUTES: Route[] = [
  ["/", "Overview", () => <Overview />],
  ["/findings", "Findings", () => <Findings />],
  ["/approvals", "Approvals", () => <Approvals />],
  ["/cases", "Cases", () => <Cases />],
  ["/chains", "Chains", () => <Chains />],
  ["/chains/:task", "Chain", ({ task }) => <ChainPage key={task} task={task ?? ""} />],
  ["/search", "Search", () => <Search />],
  ["/agents", "Agents", () => <Agents />],
  ["/agents/:uid", "Agent", ({ uid }) => <AgentPage key={uid} uid={uid ?? ""} />],
  ["/dead-letters", "Dead letters", () => <DeadLetters />],
  ["/integrity", "Integrity", () => <Integrity />],
];

function resolve(path: string): { title: string; page: ReactNode } {
  for (const [pattern, title, page] of ROUTES) {
    const parameters = match(pattern, path);
    if (parameters !== null) return { title, page: page(parameters) };
  }
  const page = (
    <Empty title="There is no such page">
      <p>
        The address <code>{path}</code> leads nowhere. <a href={href("/")}>Go to the overview</a>.
      </p>
    </Empty>
  );
  return { title: "Not found", page };
}

export function App() {
  const { path } = parseHash(useHash());
  const { value, refused } = useStore(tokenStore);
  const { title, page } = resolve(path);
  useEffect(() => {
    document.title = `${title} · Ambit`;
  }, [title]);
  if (refused) return <TokenForm />;
  // A new token begins anew: nothing that was loaded with another one stays.
  return (
    <Shell path={path} key={value}>
      {page}
    </Shell>
  );
}
