// The bearer token: taken once from the address (`#token=...`), then only in this tab's session storage.

import { createStore } from "./store";

const KEY = "ambit.token";

/** The token in an address's fragment, with the fragment that is left without it. */
export function takeToken(fragment: string): { token: string | null; rest: string } {
  const match = /^#\/?(?:\?)?token=([^&]*)&?(.*)$/.exec(fragment);
  if (match === null) return { token: null, rest: fragment };
  const rest = match[2] ?? "";
  let value = match[1] ?? "";
  try {
    value = decodeURIComponent(value);
  } catch {
    // A stray percent sign: the text is the token.
  }
  return { token: value, rest: rest.startsWith("/") ? `#${rest}` : "#/" };
}

function stored(): string {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** `refused`: the server does not accept the token at hand, so a person must give another. */
export interface TokenState {
  value: string;
  refused: boolean;
}

export const tokenStore = createStore<TokenState>({ value: "", refused: false });

export function token(): string {
  return tokenStore.get().value;
}

export function refuseToken(): void {
  tokenStore.set({ ...tokenStore.get(), refused: true });
}

export function setToken(value: string): void {
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Storage is switched off: the token lasts until the page is reloaded.
  }
  tokenStore.set({ value, refused: false });
}

/** Reads the token at start, and takes it out of the address so that it is not copied, bookmarked or kept in history. */
export function startToken(): void {
  const found = takeToken(location.hash);
  if (found.token === null) {
    tokenStore.set({ value: stored(), refused: false });
    return;
  }
  history.replaceState(null, "", location.pathname + location.search + found.rest);
  setToken(found.token);
}
