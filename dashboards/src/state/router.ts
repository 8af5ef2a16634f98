// A router on the address's fragment: `#/findings?severity=high`. The server serves one page and never sees it.

import { useCallback, useSyncExternalStore } from "react";
import { takeToken, setToken } from "./token";

export interface Location {
  path: string;
  query: URLSearchParams;
}

/** Reads a fragment; anything unreadable is the start page. */
export function parseHash(hash: string): Location {
  const text = hash.replace(/^#/, "");
  const split = text.indexOf("?");
  const path = split < 0 ? text : text.slice(0, split);
  const query = new URLSearchParams(split < 0 ? "" : text.slice(split + 1));
  return { path: path.startsWith("/") ? path : "/", query };
}

type Values = Record<string, string | null | undefined>;

/** A link to a page; empty values are left out, so that one state has one address. */
export function href(path: string, values: Values = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `#${path}${text === "" ? "" : `?${text}`}`;
}

/** Matches `/agents/:uid` against a path; parameters are decoded. Null when it does not match. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const parameters: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (part.startsWith(":")) {
      if (value === "") return null;
      try {
        parameters[part.slice(1)] = decodeURIComponent(value);
      } catch {
        return null;
      }
    } else if (part !== value) {
      return null;
    }
  }
  return parameters;
}

function subscribe(listener: () => void): () => void {
  const changed = () => {
    // A pasted start address, in a page that is already open.
    const found = takeToken(location.hash);
    if (found.token !== null) {
      history.replaceState(null, "", location.pathname + location.search + found.rest);
      setToken(found.token);
    }
    listener();
  };
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
}

export function useHash(): string {
  return useSyncExternalStore(subscribe, () => location.hash);
}

/** Goes to a link made by [`href`]. `replace` leaves no entry in the history. */
export function navigate(link: string, replace = false): void {
  if (replace) {
    history.replaceState(null, "", location.pathname + location.search + link);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = link;
  }
}

/** The query of the current page, and a function that changes some of it, keeping the rest. */
export function useQuery(): [URLSearchParams, (values: Values, replace?: boolean) => void] {
  const hash = useHash();
  const change = useCallback((values: Values, replace = true) => {
    const { path, query } = parseHash(location.hash);
    navigate(href(path, { ...Object.fromEntries(query), ...values }), replace);
  }, []);
  return [parseHash(hash).query, change];
}
