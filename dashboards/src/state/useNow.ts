// The present, for ages such as "12 s ago": one clock for the whole page.

import { createStore, useStore } from "./store";

const clock = createStore(Date.now());
let timer: ReturnType<typeof setInterval> | undefined;

export function startClock(): void {
  timer ??= setInterval(() => clock.set(Date.now()), 1000);
}

export const useNow = (): number => useStore(clock);
