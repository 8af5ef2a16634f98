// A value one can act on: hovering or focusing it offers "filter for" and "copy".

import { createContext, useContext, type ReactNode } from "react";
import { href, navigate } from "../state/router";
import { useCopied } from "./copy";
import { Icon } from "./Icon";

export type Filter = (field: string, value: string) => void;

/** Where "filter for" goes: a page with own filters sets its own; elsewhere it opens the search. */
export const FilterContext = createContext<Filter>((field, value) => navigate(href("/search", { [field]: value })));

/** Whether actions on values can be reached with Tab here: in long tables only those of the active row. */
export const ReachableContext = createContext(true);

interface Props {
  /** The filter field; without one there is nothing to filter for. */
  field?: string;
  /** The exact value. */
  value: string;
  children?: ReactNode;
  /** Draw the actions over the value's end, where there is no room beside it. */
  inward?: boolean;
}

export function Value({ field, value, children, inward = false }: Props) {
  const filter = useContext(FilterContext);
  const reachable = useContext(ReachableContext) ? 0 : -1;
  const [result, copy] = useCopied();
  return (
    <span className={inward ? "value inward" : "value"}>
      <span className="value-text" title={value}>
        {children ?? value}
      </span>
      <span className="value-actions">
        {field !== undefined && (
          <button
            type="button"
            tabIndex={reachable}
            title="Filter for this value"
            aria-label={`Filter for ${value}`}
            onClick={(event) => {
              event.stopPropagation();
              filter(field, value);
            }}
          >
            <Icon name="filter" small />
          </button>
        )}
        <button
          type="button"
          tabIndex={reachable}
          title="Copy this value"
          aria-label={result === true ? "Copied" : `Copy ${value}`}
          onClick={(event) => {
            event.stopPropagation();
            copy(value);
          }}
        >
          <Icon name={result === true ? "check" : "copy"} small />
        </button>
      </span>
    </span>
  );
}
