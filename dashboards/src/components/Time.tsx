// A time in the preferred zone, with the other form and the age as its title.

import { formatAge, formatClock, formatTime } from "../format/time";
import { useZone } from "../state/prefs";
import { useNow } from "../state/useNow";

type Form = "clock" | "full" | "age";

export function Time({ at, form = "clock" }: { at: string | null | undefined; form?: Form }) {
  const zone = useZone();
  const now = useNow();
  if (at === null || at === undefined || at === "") return <span className="faint">not known</span>;
  const full = formatTime(at, zone);
  const age = formatAge(at, now);
  const shown = form === "full" ? full : form === "age" ? age : formatClock(at, zone, now);
  return (
    <time dateTime={at} title={form === "age" ? full : `${full}, ${age}`} className="nowrap">
      {shown}
    </time>
  );
}
