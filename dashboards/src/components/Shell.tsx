// The frame: navigation, preferences, keys that work everywhere.

import { useEffect, useRef, useState, type ReactNode } from "react";
import { api } from "../api/client";
import type { Me, Permission } from "../api/desk";
import { useKeys } from "../state/keys";
import { may, MeContext } from "../state/me";
import { shownTheme, themeStore, useTheme, useZone, zoneStore } from "../state/prefs";
import { useResource } from "../state/resource";
import { href, navigate } from "../state/router";
import { Icon, type IconName } from "./Icon";
import { Mark } from "./Mark";
import { Shortcuts } from "./Shortcuts";

interface PageLink {
  path: string;
  name: string;
  icon: IconName;
  key?: string;
  /** It speaks of all tenants together, so who sees one only is refused. */
  whole?: true;
  needs?: Permission;
}

const PAGES: PageLink[] = [
  { path: "/", name: "Overview", icon: "overview", key: "o" },
  { path: "/findings", name: "Findings", icon: "findings", key: "f" },
  { path: "/approvals", name: "Approvals", icon: "approvals", key: "p" },
  { path: "/cases", name: "Cases", icon: "cases", key: "c" },
  { path: "/chains", name: "Chains", icon: "chains" },
  { path: "/search", name: "Search", icon: "search", key: "s" },
  { path: "/agents", name: "Agents", icon: "agents", key: "a" },
  { path: "/dead-letters", name: "Dead letters", icon: "deadLetters", whole: true, needs: "investigate" },
  { path: "/integrity", name: "Integrity", icon: "integrity", whole: true },
];

/** How long after `g` the second key counts, in milliseconds. */
const CHORD = 900;

/** The search field is to have the focus once the search page is there. */
let wanted = false;

function focusSearch(): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  if (field !== null) {
    field.focus();
    field.select();
    return;
  }
  wanted = true;
  navigate(href("/search"));
}

/** The pages that are of use to somebody. */
export function offered(me: Me | null): PageLink[] {
  return PAGES.filter((page) => (page.whole !== true || me === null || me.tenant === null) && may(me, page.needs ?? "read"));
}

export function Shell({ path, children }: { path: string; children: ReactNode }) {
  const theme = useTheme();
  const zone = useZone();
  const [help, setHelp] = useState(false);
  const me = useResource("me", (signal) => api.me(signal)).data;
  const main = useRef<HTMLElement>(null);
  const chord = useRef(0);
  const go = (key: string) => (event: KeyboardEvent) => {
    if (event.timeStamp - chord.current > CHORD) return;
    chord.current = 0;
    const page = PAGES.find((candidate) => candidate.key === key);
    if (page === undefined) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    navigate(href(page.path));
  };
  useKeys({
    "/": (event) => {
      event.preventDefault();
      focusSearch();
    },
    "?": () => setHelp(true),
    g: (event) => {
      chord.current = event.timeStamp;
    },
    o: go("o"),
    f: go("f"),
    s: go("s"),
    a: go("a"),
    p: go("p"),
    c: go("c"),
  });
  // A new page begins at its top, for eyes and for screen readers; the first page does not take the focus.
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
    if (wanted) document.querySelector<HTMLInputElement>("[data-search]")?.focus();
    wanted = false;
  }, [path]);
  const current = PAGES.find((page) => page.path === path || (page.path !== "/" && path.startsWith(page.path)));
  const next = shownTheme(theme) === "dark" ? "light" : "dark";
  return (
    <div className="shell">
      <button type="button" className="skip button" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <nav className="nav" aria-label="Pages">
        <a className="brand" href={href("/")} aria-label="Ambit, overview">
          <Mark />
          <span className="label">Ambit</span>
        </a>
        <ul>
          {offered(me).map((page) => (
            <li key={page.path}>
              <a className="nav-link" href={href(page.path)} aria-current={page === current ? "page" : undefined} title={page.name}>
                <Icon name={page.icon} />
                <span className="label">{page.name}</span>
              </a>
            </li>
          ))}
        </ul>
        <div className="nav-foot">
          {me !== null && (
            <p className="who muted" title={`${me.name}: ${me.roles.join(", ")}`}>
              <span className="label">
                {me.name}, {me.roles.join(", ")}
                {me.tenant === null ? "" : ` of ${me.tenant}`}
              </span>
            </p>
          )}
          <button
            type="button"
            className="button quiet"
            title={zone === "utc" ? "Show local time" : "Show UTC"}
            onClick={() => zoneStore.set(zone === "utc" ? "local" : "utc")}
          >
            <Icon name="clock" />
            <span className="label">Times in {zone === "utc" ? "UTC" : "local time"}</span>
          </button>
          <button type="button" className="button quiet" title={`Use the ${next} theme`} onClick={() => themeStore.set(next)}>
            <Icon name="theme" />
            <span className="label">{next === "dark" ? "Dark" : "Light"} theme</span>
          </button>
          <button type="button" className="button quiet" title="Keyboard shortcuts (?)" onClick={() => setHelp(true)}>
            <Icon name="keys" />
            <span className="label">Shortcuts</span>
          </button>
        </div>
      </nav>
      <main className="main" ref={main} tabIndex={-1} id="content">
        <MeContext.Provider value={me}>{children}</MeContext.Provider>
      </main>
      {help && <Shortcuts close={() => setHelp(false)} />}
    </div>
  );
}
