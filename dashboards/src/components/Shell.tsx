// The frame: navigation, preferences, keys that work everywhere.

import { useEffect, useRef, useState, type ReactNode } from "react";
import { useKeys } from "../state/keys";
import { shownTheme, themeStore, useTheme, useZone, zoneStore } from "../state/prefs";
import { href, navigate } from "../state/router";
import { Icon, type IconName } from "./Icon";
import { Mark } from "./Mark";
import { Shortcuts } from "./Shortcuts";

const PAGES: { path: string; name: string; icon: IconName; key?: string }[] = [
  { path: "/", name: "Overview", icon: "overview", key: "o" },
  { path: "/findings", name: "Findings", icon: "findings", key: "f" },
  { path: "/chains", name: "Chains", icon: "chains" },
  { path: "/search", name: "Search", icon: "search", key: "s" },
  { path: "/agents", name: "Agents", icon: "agents", key: "a" },
  { path: "/dead-letters", name: "Dead letters", icon: "deadLetters" },
  { path: "/integrity", name: "Integrity", icon: "integrity" },
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

export function Shell({ path, children }: { path: string; children: ReactNode }) {
  const theme = useTheme();
  const zone = useZone();
  const [help, setHelp] = useState(false);
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
          {PAGES.map((page) => (
            <li key={page.path}>
              <a className="nav-link" href={href(page.path)} aria-current={page === current ? "page" : undefined} title={page.name}>
                <Icon name={page.icon} />
                <span className="label">{page.name}</span>
              </a>
            </li>
          ))}
        </ul>
        <div className="nav-foot">
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
        {children}
      </main>
      {help && <Shortcuts close={() => setHelp(false)} />}
    </div>
  );
}
