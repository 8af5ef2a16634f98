// Refreshing by itself, and stopping that.

import type { Resource } from "../state/resource";
import { formatClock } from "../format/time";
import { useZone } from "../state/prefs";
import { useNow } from "../state/useNow";
import { Icon } from "./Icon";

interface Props {
  resource: Pick<Resource<unknown>, "at" | "reload" | "loading">;
  /** Seconds between refreshes. */
  every: number;
  paused: boolean;
  setPaused: (paused: boolean) => void;
}

export function Live({ resource, every, paused, setPaused }: Props) {
  const zone = useZone();
  const now = useNow();
  const at = resource.at === null ? "not yet" : formatClock(resource.at, zone, now).replace(/\.\d+/, "");
  return (
    <div className="row">
      <span className="muted nowrap">
        {paused ? "Paused" : `Live, every ${every} s`}, last {at}
      </span>
      <button type="button" className="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
        <Icon name={paused ? "play" : "pause"} small /> {paused ? "Resume" : "Pause"}
      </button>
      <button type="button" className="button square" aria-label="Refresh now" title="Refresh now" onClick={resource.reload}>
        <Icon name="reload" small />
      </button>
    </div>
  );
}
