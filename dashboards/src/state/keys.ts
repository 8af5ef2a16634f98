// Keys: shortcuts of the page, and j/k/Enter through a list.

import { useEffect, useRef, useState } from "react";

/** Whether a key press belongs to something that takes text. */
export function takesText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

type Handlers = Record<string, (event: KeyboardEvent) => void>;

/** Listens on the whole page for plain keys, except while somebody types. `Escape` is heard there too. */
export function useKeys(handlers: Handlers, enabled = true): void {
  const latest = useRef(handlers);
  latest.current = handlers;
  useEffect(() => {
    if (!enabled) return;
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      // An open dialog has the keys to itself.
      if (document.querySelector("dialog[open]") !== null) return;
      if (takesText(event.target) && event.key !== "Escape") return;
      latest.current[event.key]?.(event);
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, [enabled]);
}

export interface ListKeys {
  /** Index of the row that has the focus; -1 when none has. */
  active: number;
  setActive: (index: number) => void;
  /** For the element around the rows: rows are its `[data-row]` descendants. */
  container: React.RefObject<HTMLElement | null>;
}

/** j and k move through `count` rows and focus them; Enter opens one. */
export function useListKeys(count: number, open: (index: number) => void, enabled = true): ListKeys {
  const [active, setActive] = useState(-1);
  const container = useRef<HTMLElement | null>(null);
  const go = (index: number) => {
    if (count === 0) return;
    const next = Math.min(Math.max(index, 0), count - 1);
    setActive(next);
    const row = container.current?.querySelectorAll<HTMLElement>("[data-row]")[next];
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  };
  const openActive = (event: KeyboardEvent) => {
    const target = event.target;
    const onRow = target instanceof HTMLElement && target.dataset["row"] !== undefined;
    // A focused button or link inside the row keeps its own Enter.
    if (active < 0 || (target instanceof HTMLElement && !onRow && target !== document.body)) return;
    event.preventDefault();
    open(active);
  };
  useKeys({ j: () => go(active + 1), k: () => go(active - 1), Enter: openActive }, enabled);
  const held = Math.min(active, count - 1);
  return { active: held, setActive, container };
}
