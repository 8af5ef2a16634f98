// Below a list: how much of it is shown, and more of it.

import type { Paged } from "../state/resource";
import { plural } from "../format/text";

export function Foot({ paged, one, many }: { paged: Paged<unknown>; one: string; many?: string }) {
  const count = paged.data?.length ?? 0;
  const whole = paged.more === null && !paged.loadingMore && paged.moreError === null;
  return (
    <div className="foot">
      <span role="status">
        {plural(count, one, many)} shown{whole ? ", that is all" : ""}
      </span>
      {(paged.more !== null || paged.loadingMore) && (
        <button type="button" className="button small" disabled={paged.more === null} onClick={paged.more ?? undefined}>
          {paged.loadingMore ? "Loading …" : "Load more"}
        </button>
      )}
      {paged.moreError !== null && (
        <span role="alert" className="wrap">
          {paged.moreError.message}. {paged.moreError.detail}
        </span>
      )}
    </div>
  );
}
