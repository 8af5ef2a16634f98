// What a person prefers: theme and time zone. Kept in local storage; nothing else is.

import { createStore, useStore, type Store } from "./store";

export type Theme = "system" | "dark" | "light";
export type Zone = "utc" | "local";

function preference<T extends string>(key: string, allowed: readonly T[], fallback: T): Store<T> {
  let initial = fallback;
  try {
    const text = localStorage.getItem(key);
    initial = allowed.find((value) => value === text) ?? fallback;
  } catch {
    // Storage is switched off: the default holds.
  }
  const store = createStore<T>(initial);
  store.subscribe(() => {
    try {
      localStorage.setItem(key, store.get());
    } catch {
      // As above.
    }
  });
  return store;
}

export const themeStore = preference<Theme>("ambit.theme", ["system", "dark", "light"], "system");
export const zoneStore = preference<Zone>("ambit.zone", ["utc", "local"], "utc");

export const useTheme = (): Theme => useStore(themeStore);
export const useZone = (): Zone => useStore(zoneStore);

/** The theme that is shown now. */
export function shownTheme(theme: Theme): "dark" | "light" {
  if (theme !== "system") return theme;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

/** Keeps `data-theme` on the root element in step with the preference. */
export function startTheme(): void {
  const apply = () => {
    document.documentElement.dataset["theme"] = shownTheme(themeStore.get());
  };
  themeStore.subscribe(apply);
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", apply);
  apply();
}
