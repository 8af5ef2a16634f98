// A sheet over the page's right side: the page stays, Escape closes, the focus goes back to where it was.

import { useEffect, useRef, type ReactNode } from "react";
import { useKeys } from "../state/keys";
import { Icon } from "./Icon";

interface Props {
  label: string;
  head: ReactNode;
  close: () => void;
  children: ReactNode;
}

export function Flyout({ label, head, close, children }: Props) {
  const sheet = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    sheet.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  useKeys({ Escape: close });
  return (
    <aside className="flyout" role="dialog" aria-modal="false" aria-label={label} ref={sheet} tabIndex={-1}>
      <div className="flyout-head">
        <div>{head}</div>
        <button type="button" className="button quiet square" aria-label="Close" title="Close (Esc)" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div className="flyout-body">{children}</div>
    </aside>
  );
}
