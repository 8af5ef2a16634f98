// JSON, indented and lightly coloured, with a copy button.

import { useMemo } from "react";
import { prettyJson } from "../format/text";
import { CopyButton } from "./copy";

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;
/** Beyond this many characters colouring costs more than it gives. */
const COLOURED_MAX = 60_000;

interface Piece {
  at: number;
  text: string;
  tone: string | null;
}

/** Cuts indented JSON into pieces with a tone each. */
export function pieces(text: string): Piece[] {
  if (text.length > COLOURED_MAX) return [{ at: 0, text, tone: null }];
  const found: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > end) found.push({ at: end, text: text.slice(end, match.index), tone: null });
    const tone = match[2] !== undefined ? "key" : match[1] !== undefined ? "text" : match[3] !== undefined ? "word" : "number";
    found.push({ at: match.index, text: match[0], tone });
    end = match.index + match[0].length;
  }
  if (end < text.length) found.push({ at: end, text: text.slice(end), tone: null });
  return found;
}

export function Json({ value, title = "Data" }: { value: unknown; title?: string }) {
  const text = useMemo(() => prettyJson(value), [value]);
  const parts = useMemo(() => pieces(text), [text]);
  return (
    <section className="section">
      <div className="spread">
        <h3>{title}</h3>
        <CopyButton text={text} label="Copy JSON" />
      </div>
      <pre className="code" tabIndex={0} aria-label={title}>
        {parts.map((part) =>
          part.tone === null ? part.text : <span key={part.at} className={part.tone}>{part.text}</span>,
        )}
      </pre>
    </section>
  );
}
