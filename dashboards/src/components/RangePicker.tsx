// The time range of a page: relative or absolute, the zone shown.

import { useState } from "react";
import { fromField, toField } from "../format/time";
import { useZone } from "../state/prefs";
import { PRESETS, type Range } from "../state/range";

export function RangePicker({ range, change }: { range: Range; change: (range: Range) => void }) {
  const zone = useZone();
  const [absolute, setAbsolute] = useState(false);
  const shown = range.kind === "absolute" || absolute;
  const value = shown ? "absolute" : range.kind === "relative" ? range.text : "all";
  const suffix = zone === "utc" ? "UTC" : "local time";
  const bound = (name: "from" | "to", text: string) => {
    const held = range.kind === "absolute" ? range : { from: null, to: null };
    const next = { kind: "absolute" as const, from: held.from, to: held.to, [name]: fromField(text, zone) };
    change(next.from === null && next.to === null ? { kind: "all" } : next);
  };
  return (
    <>
      <label className="field auto">
        Time
        <select
          className="input"
          value={value}
          onChange={(event) => {
            const text = event.target.value;
            setAbsolute(text === "absolute");
            if (text === "all") change({ kind: "all" });
            else if (text !== "absolute") change({ kind: "relative", text });
          }}
        >
          <option value="all">All time</option>
          {PRESETS.map(([text, name]) => (
            <option key={text} value={text}>
              Last {name}
            </option>
          ))}
          <option value="absolute">From and to …</option>
        </select>
      </label>
      {shown &&
        (["from", "to"] as const).map((name) => (
          <label className="field auto" key={name}>
            {name === "from" ? "From" : "To"} ({suffix})
            <input
              className="input"
              type="datetime-local"
              step={1}
              value={toField(range.kind === "absolute" ? range[name] : null, zone)}
              onChange={(event) => bound(name, event.target.value)}
            />
          </label>
        ))}
    </>
  );
}
