// What is new since somebody last looked at a list.

import { useEffect, useState } from "react";

export interface Fresh {
  isNew: (id: string) => boolean;
  count: number;
  /** Since when, in milliseconds since 1970; 0 before the first answer. */
  since: number;
  markSeen: () => void;
}

/** Ids that were not among the first answer, or not there when the list was last marked as seen. */
export function useFresh(ids: string[] | null): Fresh {
  const [known, setKnown] = useState<{ ids: ReadonlySet<string>; since: number } | null>(null);
  useEffect(() => {
    if (ids !== null && known === null) setKnown({ ids: new Set(ids), since: Date.now() });
  }, [ids, known]);
  const isNew = (id: string) => known !== null && !known.ids.has(id);
  return {
    isNew,
    count: (ids ?? []).filter(isNew).length,
    since: known?.since ?? 0,
    markSeen: () => setKnown({ ids: new Set([...(known?.ids ?? []), ...(ids ?? [])]), since: Date.now() }),
  };
}
