// The sheet on which a case is opened.

import { useState } from "react";
import { api } from "../api/client";
import type { Case } from "../api/desk";
import { Flyout } from "../components/Flyout";
import { Refused } from "../components/Refused";
import { useAct } from "../state/act";
import { useMe } from "../state/me";

interface Props {
  /** The finding that it begins with; empty when there is none. */
  finding: string;
  title: string;
  opened: (now: Case) => void;
  close: () => void;
}

export function NewCase(props: Props) {
  const me = useMe();
  const act = useAct();
  const [title, setTitle] = useState(props.title);
  const [finding, setFinding] = useState(props.finding);
  const [tenant, setTenant] = useState("");
  const [note, setNote] = useState("");
  // Who sees one tenant opens it for that; and a finding says whose it is.
  const asksWhose = me?.tenant === null && finding.trim() === "";
  const open = () =>
    act.run(async () => {
      props.opened(
        await api.openCase({
          title: title.trim(),
          ...(finding.trim() === "" ? {} : { findings: [finding.trim()] }),
          ...(note.trim() === "" ? {} : { note: note.trim() }),
          ...(asksWhose && tenant.trim() !== "" ? { tenant: tenant.trim() } : {}),
        }),
      );
    });
  return (
    <Flyout label="New case" head={<h2>Open a case</h2>} close={props.close}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (title.trim() !== "" && !act.busy) void open();
        }}
      >
        <label className="field">
          Title
          <input className="input" value={title} maxLength={200} disabled={act.busy} onChange={(event) => setTitle(event.target.value)} />
        </label>
        <label className="field">
          First finding, by its id; may be empty
          <input className="input mono" value={finding} disabled={act.busy} placeholder="fnd-…" onChange={(event) => setFinding(event.target.value)} />
        </label>
        {asksWhose && (
          <label className="field">
            Tenant whose findings it is for
            <input className="input" value={tenant} disabled={act.busy} onChange={(event) => setTenant(event.target.value)} />
          </label>
        )}
        <label className="field">
          Note
          <input className="input" value={note} maxLength={2000} disabled={act.busy} onChange={(event) => setNote(event.target.value)} />
        </label>
        <span className="row">
          <button type="submit" className="button primary" disabled={act.busy || title.trim() === ""}>
            Open the case
          </button>
          <button type="button" className="button" onClick={props.close}>
            Cancel
          </button>
          {title.trim() === "" && <span className="faint">Give it a title first</span>}
        </span>
        <Refused error={act.error} />
      </form>
    </Flyout>
  );
}
