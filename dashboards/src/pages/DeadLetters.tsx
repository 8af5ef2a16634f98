// Records that are not events: kept with their bytes, and why they could not be read.

import { useState } from "react";
import { api } from "../api/client";
import type { DeadLetter } from "../api/types";
import { Flyout } from "../components/Flyout";
import { Foot } from "../components/Foot";
import { Live } from "../components/Live";
import { PageHead } from "../components/Panel";
import { RawBytes } from "../components/RawBytes";
import { Banner, Empty, Resolve } from "../components/states";
import { Time } from "../components/Time";
import { Value } from "../components/Value";
import { asText, formatBytes, formatCount, formatShard, words } from "../format/text";
import { useListKeys } from "../state/keys";
import { usePaged } from "../state/resource";
import { href, useQuery } from "../state/router";

const EVERY = 10;

export function DeadLetters() {
  const [query, change] = useQuery();
  const [paused, setPaused] = useState(false);
  const paged = usePaged(
    "dead letters",
    (letter: DeadLetter) => letter.ref,
    (cursor, signal) => api.deadLetters({ cursor, limit: 50 }, signal),
    paused ? 0 : EVERY * 1000,
  );
  const letters = paged.data ?? [];
  const open = query.get("open");
  const opened = letters.find((letter) => letter.ref === open);
  const show = (letter: DeadLetter | undefined) => letter !== undefined && change({ open: letter.ref }, open !== null);
  const keys = useListKeys(letters.length, (index) => show(letters[index]));
  const body = keys.container as React.RefObject<HTMLTableSectionElement | null>;
  return (
    <>
      <PageHead title="Dead letters" about="Records that could not be read as events. None is lost: bytes, place and reason are kept.">
        <Live resource={paged} every={EVERY} paused={paused} setPaused={setPaused} />
      </PageHead>
      {paged.incomplete !== null && <Banner>Results may be incomplete: {paged.incomplete}</Banner>}
      {open !== null && opened === undefined && paged.data !== null && (
        <Banner>
          The dead letter {open} is not among those loaded. <a href={href("/search", { open })}>Look it up in the record</a>.
        </Banner>
      )}
      <section className="panel" aria-label="Dead letters">
        <Resolve
          resource={paged}
          what="dead letters"
          empty={(data) =>
            data.length > 0 ? null : (
              <Empty title="No dead letters" icon="check">
                <p>Every record so far could be read as an event.</p>
              </Empty>
            )
          }
        >
          {(data) => (
            <div className="panel-body flush">
              <table className="table" aria-label="Dead letters">
                <thead>
                  <tr>
                    <th scope="col">Recorded</th>
                    <th scope="col">Reason</th>
                    <th scope="col">Shard</th>
                    <th scope="col" className="number">Offset</th>
                    <th scope="col" className="number">Size</th>
                    <th scope="col">Begins with</th>
                  </tr>
                </thead>
                <tbody ref={body}>
                  {data.map((letter, index) => (
                    <tr
                      key={letter.ref}
                      data-row=""
                      tabIndex={0}
                      aria-current={open === letter.ref}
                      onClick={() => show(letter)}
                      onFocus={() => keys.setActive(index)}
                    >
                      <td>
                        <Time at={letter.recorded_at} />
                      </td>
                      <td className="wrap">
                        <span className="strong">{words(letter.reason)}</span>
                        {letter.detail !== null && letter.detail !== undefined && (
                          <>
                            <br />
                            <span className="muted">{letter.detail}</span>
                          </>
                        )}
                      </td>
                      <td className="mono nowrap">{formatShard(letter.shard)}</td>
                      <td className="number">{formatCount(letter.offset)}</td>
                      <td className="number nowrap">{formatBytes(letter.size)}</td>
                      <td>
                        <code className="muted preview">{asText(letter.raw_base64).slice(0, 80) || "(no bytes)"}</code>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Resolve>
        {letters.length > 0 && <Foot paged={paged} one="dead letter" />}
      </section>
      {opened !== undefined && <Letter key={opened.ref} letter={opened} close={() => change({ open: null })} />}
    </>
  );
}

function Letter({ letter, close }: { letter: DeadLetter; close: () => void }) {
  return (
    <Flyout label="Dead letter" head={<h2>{words(letter.reason)}</h2>} close={close}>
      {letter.detail !== null && letter.detail !== undefined && <p>{letter.detail}</p>}
      <dl className="facts">
        <dt>Place</dt>
        <dd>
          <Value value={letter.ref}>
            <code>{letter.ref}</code>
          </Value>
        </dd>
        <dt>Broker's time</dt>
        <dd>
          <Time at={letter.broker_time} form="full" />
        </dd>
        <dt>Recorded</dt>
        <dd>
          <Time at={letter.recorded_at} form="full" />
        </dd>
        <dt>Size</dt>
        <dd>
          {formatBytes(letter.size)}
          {letter.truncated && "; the first 4 KiB are shown"}
        </dd>
      </dl>
      <span>
        <a className="button" href={href("/search", { kind: "dead_letter", open: letter.ref })}>
          Headers and proof
        </a>
      </span>
      <RawBytes base64={letter.raw_base64} />
    </Flyout>
  );
}
