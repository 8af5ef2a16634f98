// The list of keys, opened by `?`.

import { useEffect, useRef } from "react";
import { Icon } from "./Icon";

const KEYS: [string[], string][] = [
  [["/"], "Go to the search field"],
  [["j", "k"], "Next, previous row"],
  [["Enter"], "Open the row"],
  [["Esc"], "Close what is open, leave a field"],
  [["g", "o"], "Overview"],
  [["g", "f"], "Findings"],
  [["g", "p"], "Approvals"],
  [["g", "c"], "Cases"],
  [["g", "s"], "Search"],
  [["g", "a"], "Agents"],
  [["+", "-", "0"], "Chain: zoom in, out, fit"],
  [["←", "↑", "↓", "→"], "Chain: move the picture"],
  [["?"], "This list"],
];

export function Shortcuts({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog className="box" ref={dialog} onClose={close} aria-label="Keyboard shortcuts">
      <div className="panel-head">
        <h2>Keyboard shortcuts</h2>
        <button type="button" className="button quiet square small" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Icon name="close" small />
        </button>
      </div>
      <dl className="facts panel-body">
        {KEYS.map(([keys, text]) => (
          <div key={text} className="contents">
            <dt className="row tight">
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </dialog>
  );
}
