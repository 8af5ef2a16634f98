// Everything that can go wrong between the console and the API, in one type that pages can show to a person.

export type ErrorKind = "network" | "timeout" | "unauthorized" | "not_found" | "http" | "malformed";

export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly kind: ErrorKind,
    /** One line: what failed. */
    message: string,
    /** What the server said about it, or what to do next. */
    readonly detail: string | null = null,
    readonly status: number | null = null,
    /** How long the server asks to wait, in milliseconds. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }

  /** Whether asking again, unchanged, may succeed. */
  get retryable(): boolean {
    if (this.kind === "network" || this.kind === "timeout") return true;
    return this.status !== null && [429, 502, 503, 504].includes(this.status);
  }
}

/** Whether an error only says that the answer is no longer wanted. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Any thrown value as something that can be shown. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ApiError("malformed", "The console could not use the server's answer", text);
}

interface Problem {
  title?: unknown;
  detail?: unknown;
}

/** An error from a refused request: `application/problem+json` where the server sent it, the status otherwise. */
export function fromResponse(status: number, body: string, retryAfterHeader: string | null): ApiError {
  let problem: Problem = {};
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null) problem = parsed;
  } catch {
    // A proxy's HTML page or an empty body: the status is all there is.
  }
  const title = typeof problem.title === "string" && problem.title !== "" ? problem.title : `The server answered ${status}`;
  const detail = typeof problem.detail === "string" ? problem.detail : null;
  const kind: ErrorKind = status === 401 ? "unauthorized" : status === 404 ? "not_found" : "http";
  const seconds = retryAfterHeader === null ? Number.NaN : Number(retryAfterHeader);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 30) * 1000 : null;
  return new ApiError(kind, title, detail, status, retryAfter);
}
