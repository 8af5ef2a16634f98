// The console against a running server that plays the demo: tenant acme, one billing agent hijacked, the revocation
// acknowledged by demo-receiver. Finds things as people do: by role and label.

import { launch, open } from "./browser.mjs";
import { failures } from "./failures.mjs";
import { keyboard } from "./keyboard.mjs";
import { story } from "./story.mjs";

const url = process.argv[2] ?? "";
const token = /#token=(.+)$/.exec(url)?.[1];
if (token === undefined) {
  console.error("browser test: the address has no #token=...; give it as ambit prints it");
  process.exit(2);
}
const base = url.slice(0, url.indexOf("#"));

const browser = await launch();
let last = null;
try {
  for (const part of [story, keyboard, failures]) {
    last = await open(browser);
    await part({ ...last, base, url, token });
    if (last.complaints.length > 0) throw new Error(`the page complained:\n  ${last.complaints.join("\n  ")}`);
    await last.close();
    last = null;
  }
  console.log("browser test: all passed");
} catch (error) {
  if (last !== null) {
    await last.picture("failed").catch(() => undefined);
    console.error(`at ${last.page.url()}`);
    for (const complaint of last.complaints) console.error(complaint);
  }
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
