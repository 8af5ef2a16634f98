// Bytes that are not an event, as text or as hexadecimal digits.

import { useMemo, useState } from "react";
import { asText, hexDump } from "../format/text";
import { CopyButton } from "./copy";

export function RawBytes({ base64, title = "Raw bytes" }: { base64: string; title?: string }) {
  const [hex, setHex] = useState(false);
  const shown = useMemo(() => (hex ? hexDump(base64, 256) : asText(base64)), [base64, hex]);
  return (
    <section className="section" aria-label={title}>
      <div className="spread">
        <h3>{title}</h3>
        <span className="row tight">
          <span className="segments">
            <button type="button" className="button small" aria-pressed={!hex} onClick={() => setHex(false)}>
              Text
            </button>
            <button type="button" className="button small" aria-pressed={hex} onClick={() => setHex(true)}>
              Hex
            </button>
          </span>
          <CopyButton text={base64} label="Copy base64" />
        </span>
      </div>
      <pre className={hex ? "code hex" : "code"} tabIndex={0} aria-label={title}>
        {shown === "" ? "(no bytes)" : shown}
      </pre>
    </section>
  );
}
