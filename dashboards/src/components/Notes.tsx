// What people wrote, oldest first.

import type { Note } from "../api/types";
import { Time } from "./Time";

export function Notes({ notes }: { notes: Note[] }) {
  if (notes.length === 0) return null;
  return (
    <ul className="stack tight" aria-label="Notes">
      {notes.map((note) => (
        <li key={`${note.time} ${note.author} ${note.text}`} className="wrap">
          <span className="muted">
            {note.author}, <Time at={note.time} />:
          </span>{" "}
          {note.text}
        </li>
      ))}
    </ul>
  );
}
