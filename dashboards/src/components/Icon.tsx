// Small line drawings; they never stand alone as the only label.

const PATHS = {
  overview: "M3 12h4l2.5-7 4 14L16 12h5",
  findings: "M12 3 2.8 19.5h18.4L12 3Zm0 6.5v4.5m0 2.6v.1",
  chains: "M6 5.5h4v4H6zM14 14.5h4v4h-4zM8 9.5v7h6M14 3.5h4v4h-4zM10 7.5h1.5v-2H14",
  search: "M10.5 17.5a7 7 0 1 1 0-14 7 7 0 0 1 0 14Zm5-2 5 5",
  agents: "M5 9.5a2 2 0 0 1 2-2h10a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2v-8ZM12 7.5v-4M9.5 13v1.5M14.5 13v1.5M2.5 12.5v3M21.5 12.5v3",
  deadLetters: "M3.5 6.5h17v12h-17v-12Zm0 .5 8.5 6.5L20.5 7M14.5 15l4 4m0-4-4 4",
  integrity: "M12 3 4.5 6v5.5c0 4.5 3.2 8 7.5 9.5 4.3-1.5 7.5-5 7.5-9.5V6L12 3Zm-3.5 9 2.5 2.5 4.5-5",
  approvals: "M9 11.5 11.5 14 16 8.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z",
  cases: "M3.5 7.5v11h17v-9H12l-2-2H3.5Zm4.5 6h8",
  keep: "M6.5 4h11v16L12 15.5 6.5 20V4Z",
  theme: "M12 3.5a8.5 8.5 0 1 0 0 17v-17Zm0 0a8.5 8.5 0 0 1 0 17",
  clock: "M12 20.5a8.5 8.5 0 1 1 0-17 8.5 8.5 0 0 1 0 17Zm0-13V12l3.2 2",
  keys: "M3.5 6.5h17v11h-17v-11Zm3.5 4h.1m3.3 0h.1m3.3 0h.1m3.3 0h.1M8 14h8",
  copy: "M9 9h10.5v11.5H9V9Zm-3.5 6H4.5V3.5H15v2",
  check: "m5 12.5 4.5 4.5L19 7",
  filter: "M4 5.5h16l-6.2 7.4v5.6l-3.6 1.7v-7.3L4 5.5Z",
  close: "m6 6 12 12M18 6 6 18",
  pause: "M8.5 5.5v13m7-13v13",
  play: "m8 5 11 7-11 7V5Z",
  reload: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 3.5v4h-4",
  down: "M12 5v14m-5-5 5 5 5-5",
  up: "M12 19V5M7 10l5-5 5 5",
  plus: "M12 5.5v13M5.5 12h13",
  minus: "M5.5 12h13",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7L12 7m2 3a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, small = false }: { name: IconName; small?: boolean }) {
  return (
    <svg className={small ? "icon small" : "icon"} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
