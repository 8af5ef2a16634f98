// One case: where it stands, its findings, what people wrote.

import { useState } from "react";
import { api } from "../api/client";
import { ApiError } from "../api/errors";
import type { Case, CaseChange } from "../api/desk";
import type { FindingView } from "../api/types";
import { Severity } from "../components/badges";
import { CopyButton } from "../components/copy";
import { Flyout } from "../components/Flyout";
import { Icon } from "../components/Icon";
import { Notes } from "../components/Notes";
import { Refused } from "../components/Refused";
import { Failure, Loading, StaleBanner } from "../components/states";
import { Time } from "../components/Time";
import { later } from "../format/desk";
import { plural } from "../format/text";
import { useAct } from "../state/act";
import { refusal, useMe } from "../state/me";
import { useResource } from "../state/resource";
import { href } from "../state/router";
import { CaseState } from "./Cases";
import { standing } from "./TriagePanel";

/** Milliseconds between looks at what others do. */
const WATCH = 3000;
/** Findings that are shown with their title; of the rest the id stands there. */
const TOLD = 25;

interface Props {
  id: string;
  said: Case | null;
  take: (now: Case) => void;
  close: () => void;
}

export function CaseFlyout({ id, said, take, close }: Props) {
  const fresh = said?.id === id ? said : null;
  // A case that was just opened cannot be read back yet: until then it is what was answered.
  const load = async (signal: AbortSignal) => {
    const found = (await api.cases(signal)).items.find((one) => one.id === id) ?? fresh;
    if (found === null) throw new ApiError("not_found", "There is no such case", `No case ${id} is within what you may see.`);
    return found;
  };
  const resource = useResource(`case ${id}`, load, WATCH);
  const view = resource.data === null ? fresh : later(fresh, resource.data);
  const head =
    view === null ? (
      <h2>Case</h2>
    ) : (
      <>
        <span className="row">
          <CaseState state={view.state} />
          <span className="tag">{plural(view.findings.length, "finding")}</span>
        </span>
        <h2>{view.title}</h2>
      </>
    );
  const { error } = resource;
  return (
    <Flyout label="Case" head={head} close={close}>
      {view === null && error === null && <Loading what="the case" rows={8} />}
      {view === null && error !== null && <Failure error={error} retry={resource.reload} />}
      {view !== null && error !== null && <StaleBanner error={error} retry={resource.reload} />}
      {view !== null && <Details view={view} take={take} reload={resource.reload} />}
    </Flyout>
  );
}

function Details({ view, take, reload }: { view: Case; take: (now: Case) => void; reload: () => void }) {
  const act = useAct();
  const me = useMe();
  const [note, setNote] = useState("");
  const [assignee, setAssignee] = useState("");
  const [adding, setAdding] = useState("");
  const not = refusal(me, "triage", "change cases");
  const off = act.busy || not !== null;
  const change = (what: CaseChange) =>
    act.run(async () => {
      const text = note.trim();
      take(await api.changeCase(view.id, text === "" ? what : { ...what, note: text }));
      setNote("");
      reload();
    });
  return (
    <>
      <section className="section" aria-label="Standing">
        <p role="status">
          {view.assignee === null ? "Nobody looks after it" : <><strong>{view.assignee}</strong> looks after it</>}; opened by {view.opened_by},{" "}
          <Time at={view.opened_at} />; last changed by {view.changed_by}, <Time at={view.changed_at} />
        </p>
        <Notes notes={view.notes} />
        {not !== null && <p className="muted">{not}</p>}
        <label className="field">
          Note, kept with what you do
          <input className="input" value={note} maxLength={2000} disabled={off} onChange={(event) => setNote(event.target.value)} />
        </label>
        <span className="row">
          {view.state !== "acknowledged" && view.state !== "closed" && (
            <button type="button" className="button" disabled={off} onClick={() => void change({ state: "acknowledged" })}>
              Acknowledge
            </button>
          )}
          {view.state === "closed" ? (
            <button type="button" className="button" disabled={off} onClick={() => void change({ state: "open" })}>
              Open again
            </button>
          ) : (
            <button type="button" className="button" disabled={off} onClick={() => void change({ state: "closed" })}>
              Close the case
            </button>
          )}
          <button type="button" className="button" disabled={off || note.trim() === ""} onClick={() => void change({})}>
            Only note
          </button>
          <CopyButton text={location.href} label="Copy link" />
        </span>
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            void change({ assignee: assignee.trim() }).then((done) => done && setAssignee(""));
          }}
        >
          <input className="input auto" aria-label="Who is to look after it" placeholder="name" value={assignee} disabled={off} onChange={(event) => setAssignee(event.target.value)} />
          <button type="submit" className="button" disabled={off || assignee.trim() === ""}>
            Assign
          </button>
          {me !== null && view.assignee !== me.name && (
            <button type="button" className="button" disabled={off} onClick={() => void change({ assignee: me.name })}>
              Take it
            </button>
          )}
        </form>
        <Refused error={act.error} />
      </section>
      <section className="section" aria-label="Findings of the case">
        <h3>Findings</h3>
        <CaseFindings view={view} off={off} remove={(id) => void change({ remove: [id] })} />
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            void change({ add: [adding.trim()] }).then((done) => done && setAdding(""));
          }}
        >
          <input className="input auto mono" aria-label="Finding to add" placeholder="fnd-…" value={adding} disabled={off} onChange={(event) => setAdding(event.target.value)} />
          <button type="submit" className="button" disabled={off || adding.trim() === ""}>
            Add finding
          </button>
        </form>
      </section>
    </>
  );
}

async function told(ids: string[], signal: AbortSignal): Promise<Map<string, FindingView>> {
  const asked = await Promise.allSettled(ids.slice(0, TOLD).map((id) => api.finding(id, signal)));
  signal.throwIfAborted();
  const found = asked.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  return new Map(found.map((view) => [view.finding.id, view]));
}

function CaseFindings({ view, off, remove }: { view: Case; off: boolean; remove: (id: string) => void }) {
  const resource = useResource(`findings ${view.findings.join(" ")}`, (signal) => told(view.findings, signal));
  if (view.findings.length === 0) return <p className="muted">None yet.</p>;
  return (
    <ul className="list panel">
      {view.findings.map((id) => {
        const found = resource.data?.get(id);
        return (
          <li key={id} className="case-finding">
            <a className="item" href={href("/findings", { open: id })}>
              {found === undefined ? (
                <code className="wrap">{id}</code>
              ) : (
                <>
                  <span className="row tight">
                    <Severity level={found.finding.severity} />
                    <span className="tag">{found.finding.rule.id}</span>
                    <span className="muted">{standing(found.triage)}</span>
                  </span>
                  <span className="wrap">{found.finding.title}</span>
                </>
              )}
            </a>
            <button type="button" className="button quiet square small" disabled={off} aria-label={`Take ${id} out of the case`} title="Take it out of the case" onClick={() => remove(id)}>
              <Icon name="close" small />
            </button>
          </li>
        );
      })}
    </ul>
  );
}
