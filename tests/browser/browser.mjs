// A fresh headless Chromium, what it complains about, and steps that say what they check.

import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const PICTURES = fileURLToPath(new URL("../../target/browser/", import.meta.url));

function binary() {
  const candidates = [process.env.AMBIT_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  for (const path of candidates) {
    if (!path) continue;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one, then.
    }
  }
  throw new Error("no Chromium: install the package `chromium`, or name a binary in AMBIT_CHROMIUM");
}

export async function launch() {
  mkdirSync(PICTURES, { recursive: true });
  const browser = await chromium.launch({ executablePath: binary(), args: FLAGS });
  return browser;
}

/** A page in a context of its own, with everything that went wrong in it. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  let expected = false;
  page.on("console", (message) => {
    if (message.type() === "error" && !expected) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  return {
    page,
    complaints,
    /** While failures of the network are part of the test, the browser's own report of them is not a complaint. */
    expectFailures: (on) => {
      expected = on;
    },
    picture: (name) => page.screenshot({ path: `${PICTURES}${name}.png` }),
    close: () => context.close(),
  };
}

export async function step(name, check) {
  const started = performance.now();
  try {
    await check();
  } catch (error) {
    console.error(`FAILED  ${name}`);
    throw error;
  }
  console.log(`ok      ${name} (${Math.round(performance.now() - started)} ms)`);
}

/** Asks again until the answer is true; for what takes a moment on a living system. */
export async function eventually(what, check, limit = 60_000) {
  const end = Date.now() + limit;
  for (;;) {
    if (await check()) return;
    assert.ok(Date.now() < end, `within ${limit / 1000} s: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
  }
}
