// A row of filters that live in the address, and the pills that say which are set.

import { useEffect, useState, type ReactNode } from "react";
import { describeRange, readRange, writeRange, type Range } from "../state/range";
import { Icon } from "./Icon";
import { RangePicker } from "./RangePicker";

export interface FilterField {
  name: string;
  label: string;
  /** Values to choose from; without them it is a text. */
  options?: readonly string[];
  placeholder?: string;
  /** What it means to choose none of the values; `any` unless given. */
  none?: string;
}

type Change = (values: Record<string, string | null>, replace?: boolean) => void;

interface Props {
  fields: FilterField[];
  query: URLSearchParams;
  change: Change;
  children?: ReactNode;
}

/** A text that is taken over on Enter, on leaving the field, or a moment after the last key. */
export function TextFilter(props: { label: string; value: string; placeholder?: string; wide?: boolean; take: (text: string) => void }) {
  const { value, take } = props;
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  useEffect(() => {
    if (draft === value) return;
    const timer = setTimeout(() => take(draft.trim()), 350);
    return () => clearTimeout(timer);
  }, [draft, value, take]);
  return (
    <label className={props.wide === true ? "field wide" : "field"}>
      {props.label}
      <input
        className="input"
        type={props.wide === true ? "search" : "text"}
        data-search={props.wide === true ? "" : undefined}
        value={draft}
        placeholder={props.placeholder ?? "any"}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") take(draft.trim());
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
    </label>
  );
}

export function Filters({ fields, query, change, children }: Props) {
  const range = readRange(query);
  const setRange = (next: Range) => change(writeRange(next));
  const set = [{ name: "text", label: "Text" }, ...fields].filter((field) => query.get(field.name) !== null);
  const hasRange = range.kind !== "all";
  const clear = () => {
    const empty: Record<string, null> = { text: null, range: null, from: null, to: null };
    for (const field of fields) empty[field.name] = null;
    change(empty);
  };
  return (
    <section className="panel" aria-label="Filters" role="search">
      <div className="filters">
        <TextFilter
          label="Text"
          wide
          value={query.get("text") ?? ""}
          placeholder="words anywhere in it   ( / )"
          take={(text) => change({ text })}
        />
        <RangePicker range={range} change={setRange} />
        {fields.map((field) =>
          field.options === undefined ? (
            <TextFilter
              key={field.name}
              label={field.label}
              value={query.get(field.name) ?? ""}
              take={(text) => change({ [field.name]: text })}
              {...(field.placeholder === undefined ? {} : { placeholder: field.placeholder })}
            />
          ) : (
            <label className="field" key={field.name}>
              {field.label}
              <select
                className="input"
                value={query.get(field.name) ?? ""}
                onChange={(event) => change({ [field.name]: event.target.value })}
              >
                <option value="">{field.none ?? "any"}</option>
                {[...new Set([...field.options, query.get(field.name) ?? ""])].filter(Boolean).map((option) => (
                  <option key={option}>{option}</option>
                ))}
              </select>
            </label>
          ),
        )}
        {children}
      </div>
      {(set.length > 0 || hasRange) && (
        <div className="pills">
          {set.map((field) => (
            <Pill key={field.name} label={field.label} value={query.get(field.name) ?? ""} remove={() => change({ [field.name]: null })} />
          ))}
          {hasRange && <Pill label="Time" value={describeRange(range)} remove={() => setRange({ kind: "all" })} />}
          <button type="button" className="button small quiet" onClick={clear}>
            Clear all
          </button>
        </div>
      )}
    </section>
  );
}

function Pill({ label, value, remove }: { label: string; value: string; remove: () => void }) {
  return (
    <span className="pill">
      <span className="clip">
        {label}: <strong>{value}</strong>
      </span>
      <button type="button" aria-label={`Remove filter ${label}`} onClick={remove}>
        <Icon name="close" small />
      </button>
    </span>
  );
}
