// Why something that was to be done was not done.

import type { ApiError } from "../api/errors";

export function Refused({ error }: { error: ApiError | null }) {
  if (error === null) return null;
  return (
    <p role="alert" className="refused">
      {error.message}
      {error.detail === null ? "" : `: ${error.detail}`}
    </p>
  );
}
