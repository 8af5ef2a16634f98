// How a finding stands, and what the analyst does about it. Whoever may not is told so by the server.

import { useState } from "react";
import { api } from "../api/client";
import { asApiError, type ApiError } from "../api/errors";
import type { FindingView, Triage, TriageChange } from "../api/types";
import { Time } from "../components/Time";
import { words } from "../format/text";

/** The state in words: what a closed finding turned out to be belongs to it. */
export function standing(triage: Triage): string {
  const state = triage.disposition === null ? triage.state : `${triage.state}: ${words(triage.disposition)}`;
  return triage.assignee === null ? state : `${state}, ${triage.assignee} looks after it`;
}

/** Whether an answer is older than what was said since. */
export function newer(said: Triage | null, read: Triage): Triage {
  if (said === null || said.changed_at === null) return read;
  return read.changed_at !== null && read.changed_at >= said.changed_at ? read : said;
}

export function TriagePanel({ view, reload }: { view: FindingView; reload: () => void }) {
  // What was said is read back about a second later: until then the server's answer is shown.
  const [said, setSaid] = useState<{ id: string; triage: Triage } | null>(null);
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const id = view.finding.id;
  const triage = newer(said?.id === id ? said.triage : null, view.triage);
  const say = async (change: TriageChange) => {
    setBusy(true);
    setError(null);
    try {
      const text = note.trim();
      const answer = await api.triage(id, text === "" ? change : { ...change, note: text });
      setSaid({ id, triage: answer.triage });
      setNote("");
      reload();
    } catch (failed) {
      setError(asApiError(failed));
    }
    setBusy(false);
  };
  return (
    <section className="section" aria-label="Triage">
      <h3>Triage</h3>
      <p role="status">
        <span className="tag">{standing(triage)}</span>
        {triage.changed_by !== null && <span className="muted"> by {triage.changed_by}, <Time at={triage.changed_at} /></span>}
      </p>
      {triage.suppressed !== null && (
        <p className="muted">
          Suppressed by {triage.suppressed.author} until <Time at={triage.suppressed.until} />: {triage.suppressed.reason}
        </p>
      )}
      <ul className="stack">
        {triage.notes.map((one) => (
          <li key={`${one.time} ${one.author}`}>
            <span className="muted">{one.author}, <Time at={one.time} />:</span> {one.text}
          </li>
        ))}
      </ul>
      <label className="field">
        Note, kept with what you do
        <input className="input" value={note} maxLength={2000} disabled={busy} onChange={(event) => setNote(event.target.value)} />
      </label>
      <span className="row">
        {triage.state === "open" && (
          <button type="button" className="button" disabled={busy} onClick={() => void say({ state: "acknowledged" })}>
            Acknowledge
          </button>
        )}
        {triage.state !== "closed" && (
          <>
            <button type="button" className="button" disabled={busy} onClick={() => void say({ state: "closed", disposition: "true_positive" })}>
              Close as true positive
            </button>
            <button type="button" className="button" disabled={busy} onClick={() => void say({ state: "closed", disposition: "false_positive" })}>
              Close as false positive
            </button>
          </>
        )}
        {triage.state === "closed" && (
          <button type="button" className="button" disabled={busy} onClick={() => void say({ state: "open" })}>
            Open again
          </button>
        )}
        <button type="button" className="button" disabled={busy || note.trim() === ""} onClick={() => void say({})}>
          Only note
        </button>
      </span>
      {error !== null && (
        <p role="alert">
          {error.message}{error.detail === null ? "" : `: ${error.detail}`}
        </p>
      )}
    </section>
  );
}
