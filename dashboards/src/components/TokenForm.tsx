// Asks for the token when the server refuses the one at hand.

import { useState } from "react";
import { setToken, tokenStore } from "../state/token";
import { useStore } from "../state/store";
import { Mark } from "./Mark";

export function TokenForm() {
  const { value } = useStore(tokenStore);
  const [draft, setDraft] = useState("");
  return (
    <main className="gate">
      <form
        className="panel"
        aria-label="Token"
        onSubmit={(event) => {
          event.preventDefault();
          if (draft.trim() !== "") setToken(draft.trim());
        }}
      >
        <div className="row">
          <Mark />
          <h1>Ambit asks for its token</h1>
        </div>
        <p className="muted" role="status">
          {value === ""
            ? "There is no token in this tab."
            : "The server does not accept the token of this tab: it may have been made anew."}{" "}
          Open the address that <code>ambit</code> prints when it starts, or paste the token from it here.
        </p>
        <label className="field">
          Token
          <input
            className="input"
            type="password"
            autoComplete="off"
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
          />
        </label>
        <button type="submit" className="button primary" disabled={draft.trim() === ""}>
          Continue
        </button>
        <p className="faint">It is kept in this tab only, and forgotten when the tab is closed.</p>
      </form>
    </main>
  );
}
