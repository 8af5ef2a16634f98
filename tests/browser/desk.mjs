// What people do with what was found: triage, suppression, cases, kept searches, and a response that two of them approve.
// The server's policy lets no revocation go out without people; `people` are tokens of two responders and a viewer of acme.

import assert from "node:assert/strict";
import { eventually, open, step } from "./browser.mjs";

/** The root task of a chain that is longer than a page, and of how many calls it is; each leads to a finding. */
const LONG = "task-long";
const EVENTS = 1200;

/** Sends the long chain's events to the gateway. Where the last one stands. */
async function long({ url, token }) {
  const started = Date.now() - 60_000;
  const event = (number) => ({
    specversion: "1.0", id: `long-${number}`, source: "browser-test", type: "ambit.tool_call.completed.v1", time: new Date(started + number).toISOString(),
    data: {
      tenant_uid: "acme", ai_agent: { uid: "spiffe://acme.example/agent/reader", name: "reader" }, task: { id: LONG, root_id: LONG },
      tool_call: { id: `call-${number}`, name: "read_page" },
    },
  });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/cloudevents-batch+json" };
  let last = "";
  for (let number = 0; number < EVENTS; number += 100) {
    const batch = Array.from({ length: 100 }, (_, index) => event(number + index));
    const answer = await fetch(`${url}/v1/events`, { method: "POST", headers, body: JSON.stringify(batch) });
    assert.ok(answer.ok, `the gateway: ${answer.status} ${await answer.clone().text()}`);
    last = (await answer.json()).items.at(-1).ref;
  }
  return last;
}

export async function desk({ page, base, browser, expectFailures, gateway, people, picture }) {
  const [kim, lee, viewer] = people;
  const go = async (name) => {
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
  };
  const sheet = (name) => page.getByRole("dialog", { name, exact: true });
  const rows = (name) => page.getByRole("table", { name, exact: true }).getByRole("row");

  await step("who is there is told, and pages of all tenants are not offered to one", async () => {
    await page.goto(`${base}#token=${kim}`);
    await page.getByText("kim, responder of acme").waitFor();
    const pages = page.getByRole("navigation", { name: "Pages" });
    assert.equal(await pages.getByRole("link", { name: "Integrity", exact: true }).count(), 0);
  });

  await step("the overview of one tenant counts its events, and no shards", async () => {
    const counts = page.getByRole("region", { name: "Counts" });
    await counts.getByRole("link", { name: /Events/ }).waitFor();
    assert.equal(await counts.getByRole("link", { name: /Dead letters/ }).count(), 0);
    assert.equal(await page.getByRole("heading", { name: "Pipeline" }).count(), 0);
    await picture("overview-tenant");
  });

  await step("a response beyond the budget waits, and says what it would hit", async () => {
    await go("Approvals");
    const row = rows("Approvals").filter({ hasText: "Waiting" });
    await eventually("a response that waits", async () => (await row.count()) > 0, 120_000);
    await picture("approvals");
    await row.first().click();
    const hits = sheet("Approval").getByRole("region", { name: "What it would hit" });
    assert.match(await hits.innerText(), /\d+ credentials?, \d+ tasks?/);
    assert.match(await hits.innerText(), /budget of revocations is used up/);
  });

  const words = () => sheet("Approval").getByRole("region", { name: "Decision" });
  await step("a word needs a reason, and one person counts once", async () => {
    assert.ok(await words().getByRole("button", { name: "Approve" }).isDisabled(), "no reason, no word");
    await words().getByLabel("Reason, kept in the record").fill("it pays strangers");
    await words().getByRole("button", { name: "Approve" }).click();
    await words().getByText("It needs somebody else, too").waitFor();
    await sheet("Approval").getByText("1 of 2 approved").waitFor();
    assert.equal(await words().getByRole("button", { name: "Approve" }).count(), 0);
    await picture("approval-once");
  });

  const address = page.url().slice(base.length);
  await step("somebody who may not is told so, and offered nothing", async () => {
    const other = await open(browser);
    await other.page.goto(`${base}#token=${viewer}&${address.slice(1)}`);
    await other.page.getByText(/Your role \(viewer\) may not decide/).waitFor();
    assert.deepEqual(other.complaints, []);
    await other.close();
  });

  await step("a second person approves, and it goes out", async () => {
    const other = await open(browser);
    await other.page.goto(`${base}#token=${lee}&${address.slice(1)}`);
    const there = other.page.getByRole("dialog", { name: "Approval", exact: true });
    await there.getByLabel("Reason, kept in the record").fill("I saw the payment");
    await there.getByRole("button", { name: "Approve" }).click();
    await there.getByText("2 of 2 approved").waitFor();
    await other.picture("approval-done");
    assert.deepEqual(other.complaints, []);
    await other.close();
    await sheet("Approval").getByText("2 of 2 approved").waitFor();
    await sheet("Approval").getByRole("link", { name: "Open the finding" }).click();
    const response = sheet("Finding").getByRole("region", { name: "Response" });
    await response.getByText("Acknowledged", { exact: true }).first().waitFor({ timeout: 60_000 });
  });

  const triage = () => sheet("Finding").getByRole("region", { name: "Triage" });
  await step("a finding is taken, noted and acknowledged", async () => {
    await triage().getByRole("button", { name: "Take it" }).click();
    await triage().getByText(/kim looks after it/).waitFor();
    await triage().getByLabel("Note, kept with what you do").fill("I look at it");
    await triage().getByRole("button", { name: "Acknowledge" }).click();
    await triage().getByText("acknowledged, kim looks after it").waitFor();
    await triage().getByRole("list", { name: "Notes" }).getByText("I look at it").waitFor();
    await picture("triage");
  });

  await step("a case is opened with it, found in the list, noted and closed", async () => {
    await triage().getByRole("link", { name: "Open a case with it" }).click();
    const form = sheet("New case");
    assert.match(await form.getByLabel("First finding, by its id; may be empty").inputValue(), /^fnd-/);
    await form.getByLabel("Title").fill("Payments to a stranger");
    await form.getByRole("button", { name: "Open the case" }).click();
    const opened = sheet("Case");
    await opened.getByRole("heading", { name: "Payments to a stranger" }).waitFor();
    await opened.getByLabel("Note, kept with what you do").fill("the bank was told");
    await opened.getByRole("button", { name: "Only note" }).click();
    await opened.getByText("the bank was told").waitFor();
    await opened.getByRole("button", { name: "Take it" }).click();
    await opened.getByRole("region", { name: "Standing" }).getByRole("status").filter({ hasText: "kim looks after it" }).waitFor();
    await opened.getByRole("region", { name: "Findings of the case" }).getByRole("link").first().waitFor();
    await picture("case");
    await eventually("it can be read back", async () => (await rows("Cases").nth(1).getByRole("cell").nth(3).innerText()) === "kim");
    await opened.getByRole("button", { name: "Close the case" }).click();
    await opened.getByText("Closed", { exact: true }).waitFor();
    await opened.getByRole("button", { name: "Open again" }).click();
    await opened.getByText("Open", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    await opened.waitFor({ state: "detached" });
    await rows("Cases").filter({ hasText: "Payments to a stranger" }).waitFor();
    await picture("cases");
  });

  await step("another finding goes into the case, and out again", async () => {
    await go("Findings");
    const row = rows("Findings").nth(1);
    await eventually("a second finding", async () => (await rows("Findings").count()) > 2, 120_000);
    await row.click();
    const cases = triage().getByRole("group", { name: "Cases" });
    await cases.getByRole("button", { name: "Add to the case" }).waitFor();
    await cases.getByLabel("Case to add it to").selectOption({ label: "Payments to a stranger" });
    await cases.getByRole("button", { name: "Add to the case" }).click();
    await cases.getByRole("link", { name: "Payments to a stranger" }).click();
    const findings = sheet("Case").getByRole("region", { name: "Findings of the case" });
    await eventually("two findings", async () => (await findings.getByRole("listitem").count()) === 2);
    await findings.getByRole("button", { name: /Take fnd-.* out of the case/ }).nth(1).click();
    await eventually("one finding", async () => (await findings.getByRole("listitem").count()) === 1);
    await page.keyboard.press("Escape");
  });

  await step("a finding is suppressed for a time, listed on request, and comes back", async () => {
    await go("Findings");
    await rows("Findings").nth(1).click();
    const id = new URL(page.url().replace("#", "")).searchParams.get("open");
    await triage().getByText("Suppress …").click();
    await triage().getByLabel("Reason", { exact: true }).fill("it is known");
    await picture("suppress");
    await triage().getByRole("button", { name: "Suppress", exact: true }).click();
    await triage().getByText(/Lists leave it out until/).waitFor({ timeout: 30_000 });
    await page.keyboard.press("Escape");
    await page.getByRole("combobox", { name: "Suppressed" }).selectOption("only");
    const row = rows("Findings").filter({ hasText: "suppressed" });
    await row.first().click();
    assert.ok(page.url().includes(id), "it is the one");
    await triage().getByLabel("Reason", { exact: true }).fill("no longer");
    await triage().getByRole("button", { name: "End it now" }).click();
    await triage().getByText("Suppress …").waitFor({ timeout: 30_000 });
    await page.keyboard.press("Escape");
    await page.getByText("No finding answers these filters.").waitFor();
  });

  await step("a search is kept, opened again and deleted", async () => {
    await go("Search");
    await page.getByRole("textbox", { name: "Query" }).fill("kind:finding.created severity>=high");
    await page.getByRole("button", { name: "Remove filter Query" }).waitFor();
    await page.getByRole("combobox", { name: "Time" }).selectOption("24h");
    await rows("Events").filter({ hasText: "finding.created" }).first().waitFor();
    const menu = page.getByRole("group", { name: "Saved searches" });
    await page.getByText("Saved searches", { exact: true }).click();
    await menu.getByText("Nobody keeps a search yet.").waitFor();
    await menu.getByLabel("Keep this search as").fill("High findings of a day");
    await menu.getByRole("button", { name: "Save" }).click();
    await menu.getByRole("link", { name: /High findings of a day/ }).waitFor();
    await picture("saved");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Clear all" }).click();
    await page.getByText("Saved searches", { exact: true }).click();
    await menu.getByRole("link", { name: /High findings of a day/ }).click();
    await page.getByRole("button", { name: "Remove filter Time" }).waitFor();
    assert.equal(await page.getByRole("textbox", { name: "Query" }).inputValue(), "kind:finding.created severity>=high");
    await page.getByText("Saved searches", { exact: true }).click();
    await menu.getByRole("button", { name: "Delete High findings of a day" }).click();
    await menu.getByText("Nobody keeps a search yet.").waitFor({ timeout: 30_000 });
    await page.keyboard.press("Escape");
  });

  await step("a query that cannot be read is told with the place", async () => {
    expectFailures(true);
    await page.getByRole("textbox", { name: "Query" }).fill("severity>=");
    await page.getByRole("alert").filter({ hasText: /cannot be read/ }).waitFor();
    await picture("query-wrong");
    expectFailures(false);
  });

  await step("a long chain is loaded on demand, and followed from an event that is not loaded", async () => {
    const sent = await long(gateway);
    const chain = `${base}#/chains/${LONG}`;
    await eventually("the last event is stored", async () => {
      const answer = await page.request.get(`${base}api/v1/events/${encodeURIComponent(sent)}`, { headers: { authorization: `Bearer ${kim}` } });
      return answer.ok();
    });
    await page.goto(chain);
    await page.getByText(/The first 1,000 events of this chain are shown/).waitFor();
    await picture("chain-long");
    await page.getByRole("button", { name: "Load more" }).click();
    await page.getByText(/1 task, 2,\d\d\d events/).waitFor();
    await page.goto("about:blank");
    await page.goto(`${chain}?select=${encodeURIComponent(sent)}`);
    await page.getByRole("link", { name: "What led to it and what it led to" }).click();
    await page.getByText(/^What led to ambit/).waitFor();
    await page.getByRole("complementary", { name: "Node" }).waitFor();
    await picture("chain-around");
    await page.getByRole("link", { name: "The chain from its beginning" }).click();
    await page.getByText(/is not among the first/).waitFor();
  });

  await step("g p and g c go to approvals and cases, j and Enter open one", async () => {
    await go("Overview");
    await page.getByRole("heading", { level: 1 }).click();
    for (const key of ["g", "p"]) await page.keyboard.press(key);
    await page.getByRole("heading", { level: 1, name: "Approvals" }).waitFor();
    for (const key of ["g", "c"]) await page.keyboard.press(key);
    await page.getByRole("heading", { level: 1, name: "Cases" }).waitFor();
    await rows("Cases").nth(1).waitFor();
    for (const key of ["j", "Enter"]) await page.keyboard.press(key);
    await sheet("Case").waitFor();
  });
}
