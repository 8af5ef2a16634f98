// The cases that a finding belongs to, and the way into another one.

import { useState } from "react";
import { api } from "../../api/client";
import type { FindingView } from "../../api/types";
import { Refused } from "../../components/Refused";
import { useAct } from "../../state/act";
import { may, useMe } from "../../state/me";
import { useResource } from "../../state/resource";
import { href } from "../../state/router";

export function CaseChoice({ view, cases, reload }: { view: FindingView; cases: string[]; reload: () => void }) {
  const me = useMe();
  const act = useAct();
  const [chosen, setChosen] = useState("");
  // Until it is read back.
  const [added, setAdded] = useState<string[]>([]);
  const resource = useResource("cases to choose", (signal) => api.cases(signal));
  const all = resource.data?.items ?? [];
  const { id, tenant_uid: tenant, title } = view.finding;
  const within = [...new Set([...cases, ...added])];
  const others = all.filter((one) => one.tenant === tenant && one.state !== "closed" && !within.includes(one.id));
  const add = () =>
    act.run(async () => {
      await api.changeCase(chosen, { add: [id] });
      setAdded((before) => [...before, chosen]);
      setChosen("");
      reload();
    });
  return (
    <div className="stack tight" role="group" aria-label="Cases">
      {within.length > 0 && (
        <p>
          In {within.length === 1 ? "the case" : "the cases"}{" "}
          {within.map((one, index) => (
            <span key={one}>
              {index > 0 && ", "}
              <a href={href("/cases", { open: one })}>{all.find((known) => known.id === one)?.title ?? one}</a>
            </span>
          ))}
        </p>
      )}
      {may(me, "triage") && (
        <span className="row">
          {others.length > 0 && (
            <>
              <select className="input auto" aria-label="Case to add it to" value={chosen} disabled={act.busy} onChange={(event) => setChosen(event.target.value)}>
                <option value="">Choose a case …</option>
                {others.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.title}
                  </option>
                ))}
              </select>
              <button type="button" className="button" disabled={act.busy || chosen === ""} onClick={() => void add()}>
                Add to the case
              </button>
            </>
          )}
          <a className="button" href={href("/cases", { new: "1", finding: id, title })}>
            Open a case with it
          </a>
        </span>
      )}
      <Refused error={act.error} />
    </div>
  );
}
