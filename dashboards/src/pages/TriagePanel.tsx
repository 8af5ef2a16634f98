// How a finding stands, and what the analyst does about it. Whoever may not is told so, here or by the server.

import { useState } from "react";
import { api } from "../api/client";
import type { FindingView, Triage, TriageChange } from "../api/types";
import { Notes } from "../components/Notes";
import { Refused } from "../components/Refused";
import { Time } from "../components/Time";
import { words } from "../format/text";
import { useAct } from "../state/act";
import { refusal, useMe } from "../state/me";
import { CaseChoice } from "./triage/CaseChoice";
import { Suppress } from "./triage/Suppress";

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

const DISPOSITIONS = ["true_positive", "false_positive", "benign"] as const;

export function TriagePanel({ view, reload }: { view: FindingView; reload: () => void }) {
  // What was said is read back about a second later: until then the server's answer is shown.
  const [said, setSaid] = useState<{ id: string; triage: Triage } | null>(null);
  const [note, setNote] = useState("");
  const act = useAct();
  const not = refusal(useMe(), "triage", "change findings");
  const id = view.finding.id;
  const newest = newer(said?.id === id ? said.triage : null, view.triage);
  // Suppressions and cases are told by other events than what was said.
  const triage = { ...newest, suppressed: view.triage.suppressed, cases: view.triage.cases };
  const off = act.busy || not !== null;
  const say = (change: TriageChange) =>
    act.run(async () => {
      const text = note.trim();
      const answer = await api.triage(id, text === "" ? change : { ...change, note: text });
      setSaid({ id, triage: answer.triage });
      setNote("");
      reload();
    });
  return (
    <section className="section" aria-label="Triage">
      <h3>Triage</h3>
      <p role="status">
        <span className="tag">{standing(triage)}</span>
        {triage.changed_by !== null && <span className="muted"> by {triage.changed_by}, <Time at={triage.changed_at} /></span>}
      </p>
      <Notes notes={triage.notes} />
      {not !== null && <p className="muted">{not}</p>}
      <label className="field">
        Note, kept with what you do
        <input className="input" value={note} maxLength={2000} disabled={off} onChange={(event) => setNote(event.target.value)} />
      </label>
      <span className="row">
        {triage.state === "open" && (
          <button type="button" className="button" disabled={off} onClick={() => void say({ state: "acknowledged" })}>
            Acknowledge
          </button>
        )}
        {triage.state !== "closed" &&
          DISPOSITIONS.map((disposition) => (
            <button key={disposition} type="button" className="button" disabled={off} onClick={() => void say({ state: "closed", disposition })}>
              Close as {words(disposition).toLowerCase()}
            </button>
          ))}
        {triage.state === "closed" && (
          <button type="button" className="button" disabled={off} onClick={() => void say({ state: "open" })}>
            Open again
          </button>
        )}
        <button type="button" className="button" disabled={off || note.trim() === ""} onClick={() => void say({})}>
          Only note
        </button>
      </span>
      <Assign assignee={triage.assignee} off={off} assign={(assignee) => say({ assignee })} />
      <Refused error={act.error} />
      <CaseChoice view={view} cases={triage.cases} reload={reload} />
      <Suppress view={view} reload={reload} />
    </section>
  );
}

function Assign(props: { assignee: string | null; off: boolean; assign: (name: string) => Promise<boolean> }) {
  const me = useMe();
  const [name, setName] = useState("");
  const { assignee, off, assign } = props;
  return (
    <form
      className="row"
      aria-label="Assign"
      onSubmit={(event) => {
        event.preventDefault();
        void assign(name.trim()).then((done) => done && setName(""));
      }}
    >
      <input className="input auto" aria-label="Who is to look after it" placeholder="name" value={name} disabled={off} onChange={(event) => setName(event.target.value)} />
      <button type="submit" className="button" disabled={off || name.trim() === ""}>
        Assign
      </button>
      {me !== null && assignee !== me.name && (
        <button type="button" className="button" disabled={off} onClick={() => void assign(me.name)}>
          Take it
        </button>
      )}
      {assignee !== null && (
        <button type="button" className="button quiet" disabled={off} onClick={() => void assign("")}>
          Nobody
        </button>
      )}
    </form>
  );
}
