import { describe, expect, it, vi } from "vitest";
import { ApiError } from "./errors";
import { createGet, createPost, withQuery, type HttpOptions } from "./http";

type Fetch = NonNullable<HttpOptions["fetch"]>;

function client(fetch: Fetch, options: Partial<HttpOptions> = {}) {
  const onUnauthorized = vi.fn();
  return { get: createGet({ token: () => "secret", onUnauthorized, fetch, backoff: 1, ...options }), onUnauthorized };
}

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers });

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it should have failed");
}

describe("get", () => {
  it("sends the token and the query, without empty values", async () => {
    const fetch = vi.fn<Fetch>(async () => json({ ok: 1 }));
    const { get } = client(fetch);
    expect(await get("api/v1/events", { text: "a b", agent: "", tool: null, limit: 5 })).toEqual({ ok: 1 });
    const [url, init] = fetch.mock.calls[0] ?? [];
    expect(url).toBe("api/v1/events?text=a+b&limit=5");
    expect(new Headers(init?.headers).get("authorization")).toBe("Bearer secret");
    expect(init?.credentials).toBe("omit");
  });

  it("sends no authorization when there is no token", async () => {
    const fetch = vi.fn<Fetch>(async () => json({}));
    await client(fetch, { token: () => "" }).get("x");
    expect(new Headers(fetch.mock.calls[0]?.[1]?.headers).has("authorization")).toBe(false);
  });

  it("shows a problem's title and detail, and does not repeat what cannot succeed", async () => {
    const fetch = vi.fn<Fetch>(async () => json({ title: "The time range is reversed", detail: "swap from and to" }, 400));
    const error = await failure(client(fetch).get("x"));
    expect(error).toMatchObject({ kind: "http", status: 400, message: "The time range is reversed", detail: "swap from and to" });
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it("reports a refused token once, and asks no further", async () => {
    const fetch = vi.fn<Fetch>(async () => json({}, 401));
    const { get, onUnauthorized } = client(fetch);
    expect((await failure(get("x"))).kind).toBe("unauthorized");
    expect(onUnauthorized).toHaveBeenCalledTimes(1);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it("repeats what may pass, then gives the answer", async () => {
    const fetch = vi.fn<Fetch>(async () => json({ at: "last" }));
    fetch.mockImplementationOnce(async () => new Response("<html>busy</html>", { status: 503, headers: { "retry-after": "0" } }));
    fetch.mockImplementationOnce(async () => {
      throw new TypeError("Failed to fetch");
    });
    expect(await client(fetch).get("x")).toEqual({ at: "last" });
    expect(fetch).toHaveBeenCalledTimes(3);
  });

  it("gives up after its retries, saying that the API cannot be reached", async () => {
    const fetch = vi.fn<Fetch>(async () => {
      throw new TypeError("Failed to fetch");
    });
    const error = await failure(client(fetch, { retries: 1 }).get("x"));
    expect(error).toMatchObject({ kind: "network", message: "The API cannot be reached" });
    expect(fetch).toHaveBeenCalledTimes(2);
  });

  it("names an answer that is not JSON", async () => {
    const error = await failure(client(async () => new Response("<!doctype html>")).get("x"));
    expect(error.kind).toBe("malformed");
    expect(error.detail).toContain("<!doctype html>");
  });

  it("gives up after the time limit", async () => {
    const hang: Fetch = (_, init) =>
      new Promise((_resolve, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    expect((await failure(client(hang, { timeout: 20, retries: 0 }).get("x"))).kind).toBe("timeout");
  });

  it("stops at once when the answer is no longer wanted, also between retries", async () => {
    const abort = new AbortController();
    const fetch = vi.fn<Fetch>(async () => json({}, 503));
    const promise = client(fetch, { backoff: 60_000 }).get("x", {}, abort.signal);
    setTimeout(() => abort.abort(), 5);
    await expect(promise).rejects.toMatchObject({ name: "AbortError" });
    expect(fetch).toHaveBeenCalledTimes(1);
  });
});

describe("post", () => {
  it("sends JSON once, also when that fails, and reports a refused token", async () => {
    const fetch = vi.fn<Fetch>(async () => json({ detail: "not recorded" }, 503));
    const onUnauthorized = vi.fn();
    const post = createPost({ token: () => "secret", onUnauthorized, fetch });
    expect(await failure(post("api/v1/x", { state: "open" }))).toMatchObject({ status: 503, detail: "not recorded" });
    expect(fetch).toHaveBeenCalledTimes(1);
    const init = fetch.mock.calls[0]?.[1];
    expect([init?.method, init?.body, new Headers(init?.headers).get("content-type")]).toEqual(["POST", '{"state":"open"}', "application/json"]);
    fetch.mockImplementation(async () => json({}, 401));
    expect((await failure(post("api/v1/x", {}))).kind).toBe("unauthorized");
    expect(onUnauthorized).toHaveBeenCalledTimes(1);
  });
});

describe("withQuery", () => {
  it("encodes values", () => {
    expect(withQuery("a", { agent: "spiffe://x/y", n: 0 })).toBe("a?agent=spiffe%3A%2F%2Fx%2Fy&n=0");
    expect(withQuery("a")).toBe("a");
  });
});
