import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { mockServer } from "./dev/plugin.ts";

// The built console is served by the API itself, possibly below a path: all asset paths are relative.
// `AMBIT_API=http://127.0.0.1:PORT npm run dev` develops against a running server, otherwise against dev/.
const api = process.env["AMBIT_API"];

export default defineConfig({
  base: "./",
  plugins: [react(), ...(api === undefined ? [mockServer()] : [])],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    host: "127.0.0.1",
    port: 5173,
    ...(api === undefined ? {} : { proxy: { "/api": api, "/healthz": api, "/readyz": api } }),
  },
  preview: { host: "127.0.0.1", port: 4173 },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
