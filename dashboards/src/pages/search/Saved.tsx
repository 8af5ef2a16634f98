// Searches that people keep: open one, keep this one, take one away.

import { useRef, useState } from "react";
import { api } from "../../api/client";
import type { SavedSearch } from "../../api/desk";
import { Icon } from "../../components/Icon";
import { Refused } from "../../components/Refused";
import { Resolve } from "../../components/states";
import { fromSaved, mayRemove, toSaved } from "../../format/desk";
import { useAct } from "../../state/act";
import { useKeys } from "../../state/keys";
import { may, useMe } from "../../state/me";
import { useResource } from "../../state/resource";
import { href } from "../../state/router";

export function SavedSearches({ query }: { query: URLSearchParams }) {
  const [open, setOpen] = useState(false);
  const me = useMe();
  const summary = useRef<HTMLElement>(null);
  const escape = () => {
    setOpen(false);
    summary.current?.focus();
  };
  useKeys({ Escape: escape }, open);
  // Who may not search by content has no use for them.
  if (!may(me, "investigate")) return null;
  return (
    <details
      className="menu"
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary className="button" ref={summary}>
        <Icon name="keep" small /> Saved searches
      </summary>
      {open && <Menu query={query} close={() => setOpen(false)} />}
    </details>
  );
}

function Menu({ query, close }: { query: URLSearchParams; close: () => void }) {
  const me = useMe();
  const act = useAct();
  const [name, setName] = useState("");
  const [added, setAdded] = useState<SavedSearch[]>([]);
  const [gone, setGone] = useState<string[]>([]);
  const resource = useResource("saved searches", (signal) => api.searches(signal));
  const saved = toSaved(query);
  // What was just said is read back a moment later.
  const known = new Set(resource.data?.items.map((one) => one.id));
  const items = [...(resource.data?.items ?? []), ...added.filter((one) => !known.has(one.id))].filter((one) => !gone.includes(one.id));
  const keep = () =>
    act.run(async () => {
      const kept = await api.keepSearch(name.trim(), saved);
      setAdded((before) => [...before, kept]);
      setName("");
    });
  const remove = (id: string) =>
    act.run(async () => {
      await api.removeSearch(id);
      setGone((before) => [...before, id]);
    });
  return (
    <div className="panel menu-body wide" role="group" aria-label="Saved searches">
      <Resolve resource={resource} what="saved searches" empty={() => (items.length > 0 ? null : <p className="muted">Nobody keeps a search yet.</p>)}>
        {() => (
          <ul className="list scroll" aria-label="Kept">
            {items.map((one) => (
              <li key={one.id} className="spread middle">
                <a className="item" href={href("/search", fromSaved(one.query))} onClick={close} title={one.query}>
                  <span className="strong wrap">{one.name}</span>
                  <span className="muted">by {one.author}</span>
                </a>
                {mayRemove(one, me) && (
                  <button type="button" className="button quiet square small" disabled={act.busy} aria-label={`Delete ${one.name}`} title="Delete it" onClick={() => void remove(one.id)}>
                    <Icon name="close" small />
                  </button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Resolve>
      <form
        className="stack tight"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== "" && saved !== "") void keep();
        }}
      >
        <label className="field">
          Keep this search as
          <input className="input" value={name} maxLength={200} disabled={act.busy || saved === ""} onChange={(event) => setName(event.target.value)} />
        </label>
        <span className="row">
          <button type="submit" className="button" disabled={act.busy || saved === "" || name.trim() === ""}>
            Save
          </button>
          {saved === "" && <span className="faint">Set a filter or a time first</span>}
        </span>
        <Refused error={act.error} />
      </form>
    </div>
  );
}
