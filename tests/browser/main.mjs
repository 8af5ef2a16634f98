// The console against a running server that plays the demo: tenant acme, one billing agent hijacked, the revocation
// acknowledged by demo-receiver. Finds things as people do: by role and label. With three more tokens (two responders and a
// viewer of acme) and a server whose policy revokes nothing without people, what people do is played instead.

import { launch, open } from "./browser.mjs";
import { desk } from "./desk.mjs";
import { failures } from "./failures.mjs";
import { keyboard } from "./keyboard.mjs";
import { story } from "./story.mjs";

const [url = "", ...people] = process.argv.slice(2);
const token = /#token=(.+)$/.exec(url)?.[1];
if (token === undefined || ![0, 3].includes(people.length)) {
  console.error("browser test: the address has no #token=...; give it as ambit prints it, alone or with three tokens");
  process.exit(2);
}
// Where events can be sent to, with the token for it: for what people do, chains longer than a page.
const [gatewayUrl = "", gatewayToken = ""] = (process.env.AMBIT_GATEWAY ?? "").split(" ");
const base = url.slice(0, url.indexOf("#"));

const browser = await launch();
let last = null;
try {
  for (const part of people.length === 0 ? [story, keyboard, failures] : [desk]) {
    last = await open(browser);
    await part({ ...last, base, browser, gateway: { url: gatewayUrl, token: gatewayToken }, people, url, token });
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
