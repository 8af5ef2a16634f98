// Something that is done on the server: one at a time, and what went wrong with it.

import { useCallback, useState } from "react";
import { asApiError, type ApiError } from "../api/errors";

export interface Act {
  busy: boolean;
  error: ApiError | null;
  /** Does it; whether that went well. */
  run: (deed: () => Promise<void>) => Promise<boolean>;
}

export function useAct(): Act {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const run = useCallback(async (deed: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await deed();
      return true;
    } catch (failed) {
      setError(asApiError(failed));
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, error, run };
}
