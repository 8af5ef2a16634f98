// The made-up world behind the API's paths, for `npm run dev` and `npm run preview` only. The token is `dev`.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Connect, Plugin } from "vite";
import { answer } from "./routes.ts";
import { build, grow } from "./story.ts";

const TOKEN = "dev";
/** What the real server sends, or stricter: the built console must live with it. */
const POLICY = "default-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

function send(response: ServerResponse, status: number, body: unknown): void {
  response.statusCode = status;
  response.setHeader("content-type", status < 400 ? "application/json" : "application/problem+json");
  response.end(JSON.stringify(body));
}

function middleware(): Connect.NextHandleFunction {
  const world = build(Date.now());
  setInterval(() => grow(world, Date.now()), 3000).unref();
  return (request: IncomingMessage, response: ServerResponse, next) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    if (!url.pathname.startsWith("/api/v1/")) {
      next();
      return;
    }
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      send(response, 401, { type: "about:blank", title: "The token is missing or wrong", status: 401, detail: "send Authorization: Bearer" });
      return;
    }
    const path = url.pathname.slice("/api/v1/".length).split("/").map(decodeURIComponent);
    const body = answer(world, path, url.searchParams);
    setTimeout(() => {
      if (body === null) send(response, 404, { type: "about:blank", title: "There is no such thing", status: 404, detail: url.pathname });
      else send(response, 200, body);
    }, 60);
  };
}

export function mockServer(): Plugin {
  // Without an address there is nothing to say: the server has its own message then.
  const hint = (address: AddressInfo | string | null | undefined) =>
    typeof address === "object" && address !== null ? `\n  made-up data: http://127.0.0.1:${address.port}/#token=${TOKEN}\n` : "";
  return {
    name: "ambit-made-up-world",
    configureServer(server) {
      server.middlewares.use(middleware());
      server.httpServer?.once("listening", () => server.config.logger.info(hint(server.httpServer?.address())));
    },
    configurePreviewServer(server) {
      server.middlewares.use((_, response, next) => {
        response.setHeader("content-security-policy", POLICY);
        next();
      });
      server.middlewares.use(middleware());
      server.httpServer.once("listening", () => server.config.logger.info(hint(server.httpServer.address())));
    },
  };
}
