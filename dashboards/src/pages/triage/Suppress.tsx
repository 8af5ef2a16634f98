// Leaving findings alike out of lists for a time, and ending that.

import { useState } from "react";
import { api } from "../../api/client";
import type { SuppressionRequest } from "../../api/desk";
import type { Finding, FindingView } from "../../api/types";
import { Refused } from "../../components/Refused";
import { Time } from "../../components/Time";
import { agentName } from "../../format/text";
import { useAct } from "../../state/act";
import { may, useMe } from "../../state/me";

type Reach = "finding" | "both" | "rule";
const LASTS: [hours: number, name: string][] = [
  [1, "for an hour"],
  [24, "for a day"],
  [7 * 24, "for a week"],
  [30 * 24, "for 30 days"],
];

/** What is to be left out, as the server is told it. */
export function suppression(finding: Finding, reach: Reach, until: Date, reason: string): SuppressionRequest {
  const base = { until: until.toISOString(), reason };
  if (reach === "finding") return { ...base, finding_id: finding.id };
  const alike = { ...base, rule_id: finding.rule.id, tenant: finding.tenant_uid };
  return reach === "both" && finding.agent !== undefined ? { ...alike, agent_uid: finding.agent.uid } : alike;
}

export function Suppress({ view, reload }: { view: FindingView; reload: () => void }) {
  const allowed = may(useMe(), "suppress");
  const act = useAct();
  const [reach, setReach] = useState<Reach>("finding");
  const [hours, setHours] = useState(24);
  const [reason, setReason] = useState("");
  const [said, setSaid] = useState("");
  const { finding } = view;
  const { suppressed } = view.triage;
  const settle = (what: string, deed: () => Promise<unknown>) =>
    act.run(async () => {
      await deed();
      setReason("");
      setSaid(what);
      reload();
    });
  if (suppressed === null && !allowed) return null;
  const silent = act.busy || reason.trim() === "";
  const why = (
    <label className="field">
      Reason
      <input className="input" value={reason} maxLength={2000} disabled={act.busy} onChange={(event) => setReason(event.target.value)} />
    </label>
  );
  return (
    <details className="fold" open={suppressed !== null || undefined}>
      <summary>{suppressed === null ? "Suppress …" : "Suppressed"}</summary>
      <div className="stack">
        {suppressed !== null ? (
          <>
            <p>
              Lists leave it out until <Time at={suppressed.until} form="full" />, said {suppressed.author}: {suppressed.reason}
            </p>
            {allowed && (
              <>
                {why}
                <span className="row">
                  <button type="button" className="button" disabled={silent} onClick={() => void settle("It ends now.", () => api.endSuppression(suppressed.id, reason.trim()))}>
                    End it now
                  </button>
                </span>
              </>
            )}
          </>
        ) : (
          <>
            <p className="muted">Lists leave findings out for a time. They are given, stored and acted upon all the same.</p>
            <span className="row">
              <select className="input auto" aria-label="What to leave out" value={reach} disabled={act.busy} onChange={(event) => setReach(event.target.value as Reach)}>
                <option value="finding">this finding</option>
                {finding.agent !== undefined && (
                  <option value="both">
                    {finding.rule.id} of {agentName(finding.agent.uid, finding.agent.name)}
                  </option>
                )}
                <option value="rule">{finding.rule.id} of everybody</option>
              </select>
              <select className="input auto" aria-label="For how long" value={hours} disabled={act.busy} onChange={(event) => setHours(Number(event.target.value))}>
                {LASTS.map(([lasts, name]) => (
                  <option key={lasts} value={lasts}>
                    {name}
                  </option>
                ))}
              </select>
            </span>
            {why}
            <span className="row">
              <button
                type="button"
                className="button"
                disabled={silent}
                onClick={() => {
                  const until = new Date(Date.now() + hours * 3_600_000);
                  void settle("It is left out from now on.", () => api.suppress(suppression(finding, reach, until, reason.trim())));
                }}
              >
                Suppress
              </button>
            </span>
          </>
        )}
        {said !== "" && act.error === null && <p role="status">{said}</p>}
        <Refused error={act.error} />
      </div>
    </details>
  );
}
