// The figures on top of the overview, each a way to what it counts.

import { useEffect, useState } from "react";
import { SEVERITIES, type Overview } from "../../api/types";
import { Severity } from "../../components/badges";
import { formatCount, plural } from "../../format/text";
import { href } from "../../state/router";

const SAMPLES = 60;

/** The last counts of events, as they were answered. */
function useSamples(value: number): number[] {
  const [samples, setSamples] = useState<number[]>([]);
  useEffect(() => setSamples((last) => [...last, value].slice(-SAMPLES)), [value]);
  return samples;
}

function Spark({ samples }: { samples: number[] }) {
  const steps = samples.slice(1).map((value, index) => Math.max(0, value - (samples[index] ?? value)));
  if (steps.length < 2) return null;
  const top = Math.max(...steps, 1);
  const points = steps.map((step, index) => `${(index / (steps.length - 1)) * 100},${20 - (step / top) * 18}`);
  return (
    <svg className="spark" viewBox="0 0 100 22" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points.join(" ")} />
    </svg>
  );
}

export function Tiles({ counts, since, wide }: { counts: Overview; since: number; wide: boolean }) {
  const samples = useSamples(counts.events);
  const [baseline, setBaseline] = useState({ since, events: counts.events });
  if (baseline.since !== since) setBaseline({ since, events: counts.events });
  const added = counts.events - baseline.events;
  const findings = Object.values(counts.findings_by_severity).reduce((sum, count) => sum + count, 0);
  const { decided, acknowledged, dead_lettered: dead } = counts.responses;
  return (
    <section className={wide ? "grid tiles" : "grid tiles five"} aria-label="Counts">
      <a className="panel tile" href={href("/search")}>
        <h3>Events</h3>
        <span className="figure">
          {formatCount(counts.events)}
          {added > 0 && <span className="delta">+{formatCount(added)}</span>}
        </span>
        <span className="under">{formatCount(counts.events_last_minute)} in the last minute</span>
        <Spark samples={samples} />
      </a>
      <a className="panel tile" href={href("/agents")}>
        <h3>Agents</h3>
        <span className="figure">{formatCount(counts.agents)}</span>
        <span className="under">seen so far</span>
      </a>
      <a className="panel tile" href={href("/chains")}>
        <h3>Tasks</h3>
        <span className="figure">{formatCount(counts.tasks)}</span>
        <span className="under">each with its envelope</span>
      </a>
      <a className={findings > 0 ? "panel tile alarm" : "panel tile"} href={href("/findings")}>
        <h3>Findings</h3>
        <span className="figure">{formatCount(findings)}</span>
        <span className="row tight">
          {SEVERITIES.filter((level) => (counts.findings_by_severity[level] ?? 0) > 0).map((level) => (
            <span key={level} className="row tight under">
              {counts.findings_by_severity[level]} <Severity level={level} />
            </span>
          ))}
          {findings === 0 && <span className="under">all agents are inside their envelopes</span>}
        </span>
      </a>
      <a className="panel tile" href={href("/findings")}>
        <h3>Responses</h3>
        <span className="figure">{formatCount(acknowledged)}</span>
        <span className="under">
          acknowledged, of {formatCount(decided)} decided; {plural(counts.responses.attempted, "attempt")}
          {dead > 0 && `; ${formatCount(dead)} given up`}
        </span>
      </a>
      {wide && (
        <a className={counts.dead_letters > 0 ? "panel tile alarm" : "panel tile"} href={href("/dead-letters")}>
          <h3>Dead letters</h3>
          <span className="figure">{formatCount(counts.dead_letters)}</span>
          <span className="under">{counts.dead_letters === 0 ? "every record could be read" : "kept with their bytes"}</span>
        </a>
      )}
    </section>
  );
}
