// The one place that talks to the network: token, time limit, abort, retry, and errors in one shape.

import { ApiError, fromResponse, isAbort } from "./errors";

export type Query = Record<string, string | number | null | undefined>;

export interface HttpOptions {
  /** The bearer token at the time of the request; empty when there is none. */
  token: () => string;
  /** Called when the server refuses the token. */
  onUnauthorized: () => void;
  fetch?: typeof fetch;
  /** Milliseconds until a try is given up. */
  timeout?: number;
  /** Tries after the first, for failures that may pass. */
  retries?: number;
  /** Milliseconds before the first retry; doubles with each. */
  backoff?: number;
}

export type Post = <T>(path: string, body: unknown, signal?: AbortSignal) => Promise<T>;

export type Delete = <T>(path: string, signal?: AbortSignal) => Promise<T>;

export type Get = <T>(path: string, query?: Query, signal?: AbortSignal) => Promise<T>;

/** A path with its query; empty values are left out. */
export function withQuery(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === "" ? path : `${path}?${text}`;
}

interface Deed {
  method: "POST" | "DELETE";
  body?: string;
}

async function once(path: string, options: HttpOptions, signal?: AbortSignal, deed?: Deed): Promise<unknown> {
  const limit = options.timeout ?? 20_000;
  const timer = AbortSignal.timeout(limit);
  const token = options.token();
  let response: Response;
  let answer: string;
  try {
    response = await (options.fetch ?? fetch)(path, {
      ...deed,
      headers: {
        Accept: "application/json",
        ...(deed?.body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(token === "" ? {} : { Authorization: `Bearer ${token}` }),
      },
      signal: signal === undefined ? timer : AbortSignal.any([signal, timer]),
      cache: "no-store",
      credentials: "omit",
    });
    answer = await response.text();
  } catch (error) {
    if (signal?.aborted === true) throw new DOMException("the answer is no longer wanted", "AbortError");
    if (timer.aborted) {
      throw new ApiError("timeout", `No answer within ${limit / 1000} s`, "Narrow the time range, or try again.");
    }
    const cause = error instanceof Error ? ` (${error.message})` : "";
    throw new ApiError("network", "The API cannot be reached", `Is ambit still running? ${path}${cause}`);
  }
  if (!response.ok) throw fromResponse(response.status, answer, response.headers.get("retry-after"));
  try {
    return JSON.parse(answer);
  } catch {
    throw new ApiError("malformed", "The server's answer is not JSON", `${path}: ${answer.slice(0, 120)}`, response.status);
  }
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("the answer is no longer wanted", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** A function that gets JSON from the API. */
export function createGet(options: HttpOptions): Get {
  const retries = options.retries ?? 2;
  return async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
    const url = withQuery(path, query);
    for (let attempt = 0; ; attempt += 1) {
      try {
        // The contract is the server's; shapes are checked where the console depends on them.
        return (await once(url, options, signal)) as T;
      } catch (error) {
        if (isAbort(error) || !(error instanceof ApiError)) throw error;
        if (error.kind === "unauthorized") options.onUnauthorized();
        if (!error.retryable || attempt >= retries) throw error;
        await pause(error.retryAfter ?? (options.backoff ?? 250) * 2 ** attempt, signal);
      }
    }
  };
}

/** Does something, once: what was said twice would be recorded twice. */
async function say<T>(path: string, options: HttpOptions, deed: Deed, signal?: AbortSignal): Promise<T> {
  try {
    return (await once(path, options, signal, deed)) as T;
  } catch (error) {
    if (error instanceof ApiError && error.kind === "unauthorized") options.onUnauthorized();
    throw error;
  }
}

/** A function that says something to the API. */
export function createPost(options: HttpOptions): Post {
  return (path, body, signal) => say(path, options, { method: "POST", body: JSON.stringify(body) }, signal);
}

/** A function that takes something back. */
export function createDelete(options: HttpOptions): Delete {
  return (path, signal) => say(path, options, { method: "DELETE" }, signal);
}
