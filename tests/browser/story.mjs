// The way of an analyst: overview, finding, chain, search, proof, agent, integrity.

import assert from "node:assert/strict";
import { eventually, step } from "./browser.mjs";

/** The account to which the hijacked agent of the demo pays. */
const STOLEN_TO = process.env.AMBIT_HIJACK_TEXT ?? "US133000000121212121212";
const RULES = /E-(DEST|TOOL|ARG|RES|BUDGET)/;

export async function story({ page, url, picture }) {
  const pages = page.getByRole("navigation", { name: "Pages" });
  const go = async (name) => {
    await pages.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
  };

  await step("the token is taken from the address and does not stay in it", async () => {
    await page.goto(url);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    assert.ok(!page.url().includes("token"), page.url());
  });

  await step("the overview counts events and shows agents with their state", async () => {
    const agents = page.getByRole("list", { name: "Agents and their state" }).getByRole("listitem");
    await agents.first().waitFor({ timeout: 60_000 });
    await eventually("at least two agents, one of them inside its envelope", async () => {
      const texts = await agents.allInnerTexts();
      return texts.length >= 2 && texts.some((text) => text.includes("Inside envelope"));
    });
    await page.getByRole("region", { name: "Counts" }).getByRole("link", { name: /Events/ }).waitFor();
    await page.getByRole("cell", { name: /ambit\.events\/\d+/ }).first().waitFor();
    await picture("overview");
  });

  await step("the overview refreshes by itself, and can be paused", async () => {
    await page.waitForRequest((request) => request.url().includes("/api/v1/overview"), { timeout: 10_000 });
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("Paused, last").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
  });

  let reason = "";
  await step("the finding of the hijacked agent is listed with its reason", async () => {
    await go("Findings");
    const row = hijacked(page);
    await eventually("a finding of a billing agent, high or critical", async () => (await row.count()) > 0, 90_000);
    reason = (await row.getByRole("cell").nth(3).innerText()).trim();
    assert.ok(reason.length > 20, `a reason in words, not ${JSON.stringify(reason)}`);
    await picture("findings");
  });

  await step("its sheet shows clause, expected and observed, and an acknowledged delivery", async () => {
    await hijacked(page).click();
    const sheet = page.getByRole("dialog", { name: "Finding" });
    for (const text of ["Expected", "Observed", "Clause"]) await sheet.getByText(text, { exact: true }).waitFor();
    const response = sheet.getByRole("region", { name: "Response" });
    await response.getByText("demo-receiver").first().waitFor({ timeout: 60_000 });
    await response.getByText("Acknowledged", { exact: true }).first().waitFor({ timeout: 60_000 });
    assert.match(await response.innerText(), /Revoke/);
    assert.match(page.url(), /open=fnd-/);
    await picture("finding");
  });

  await step("a link to a finding opens it again", async () => {
    await page.reload();
    await page.getByRole("dialog", { name: "Finding" }).getByText("Observed", { exact: true }).waitFor();
  });

  await step("its chain opens with nodes, one of them outside the envelope", async () => {
    await page.getByRole("link", { name: "Open the chain" }).click();
    const graph = page.getByRole("group", { name: /Graph of the chain/ });
    await graph.getByRole("button").first().waitFor();
    assert.ok((await graph.getByRole("button").count()) >= 5, "five nodes or more");
    await graph.getByRole("button", { name: /outside its envelope|finding created/ }).first().waitFor();
    await page.getByRole("complementary", { name: "Node" }).waitFor();
    await page.getByRole("group", { name: "Legend" }).waitFor();
    await picture("chain-graph");
  });

  await step("the chain can be searched, zoomed and seen as a timeline", async () => {
    for (const name of ["Zoom in", "Zoom out", "Fit"]) await page.getByRole("button", { name, exact: true }).click();
    await page.getByRole("searchbox", { name: "Search in this chain" }).fill("envelope");
    await page.getByText(/^[1-9]\d* match(es)?$/).waitFor();
    await page.getByRole("button", { name: "Timeline" }).click();
    const rows = page.getByRole("list", { name: "Timeline of the chain" }).getByRole("listitem");
    assert.ok((await rows.count()) >= 4, "four rows or more");
    await picture("chain-timeline");
  });

  await step("from the chain one gets to the search, with task and time kept", async () => {
    await page.getByRole("link", { name: "Search these events" }).click();
    await page.getByRole("heading", { level: 1, name: "Search" }).waitFor();
    assert.match(page.url(), /root_task=.+from=.+to=/);
    await page.getByRole("table", { name: "Events" }).getByRole("row").nth(1).waitFor();
    await page.getByRole("button", { name: "Clear all" }).click();
  });

  await step("the search finds the hijacked call by its text, and its proof is verified", async () => {
    await page.getByRole("searchbox", { name: "Text" }).fill(STOLEN_TO);
    await page.getByRole("combobox", { name: "Kind" }).selectOption("tool_call.requested");
    const row = page.getByRole("table", { name: "Events" }).getByRole("row")
      .filter({ hasText: "tool_call.requested" })
      .filter({ hasText: STOLEN_TO });
    await eventually("a tool call to the stranger's account", async () => (await row.count()) > 0);
    await row.first().click();
    const pane = page.getByRole("complementary", { name: "Event" });
    await pane.getByLabel("Data", { exact: true }).getByText(STOLEN_TO, { exact: false }).first().waitFor();
    await pane.getByRole("region", { name: "Inclusion proof" }).getByText("Verified", { exact: true }).waitFor();
    await picture("search-proof");
  });

  await step("a value can be filtered for, and the address keeps it over a reload", async () => {
    const row = page.getByRole("table", { name: "Events" }).getByRole("row").nth(1);
    await row.focus();
    await row.getByRole("button", { name: /Filter for .*billing/ }).first().press("Enter");
    await page.getByRole("button", { name: "Remove filter Agent" }).waitFor();
    await page.reload();
    await page.getByRole("button", { name: "Remove filter Agent" }).waitFor();
    assert.equal(await page.getByRole("searchbox", { name: "Text" }).inputValue(), STOLEN_TO);
  });

  await step("a search without an answer says so", async () => {
    await page.getByRole("searchbox", { name: "Text" }).fill("nosuchwordanywhere");
    await page.getByText("Nothing found").waitFor();
  });

  await step("the agents are listed, and one has tasks, findings and events", async () => {
    await go("Agents");
    await page.getByRole("table", { name: "Agents" }).getByRole("link", { name: /billing/ }).first().click();
    await page.getByRole("table", { name: "Recent tasks" }).getByRole("row").nth(1).waitFor();
    await page.getByRole("table", { name: "Recent events" }).getByRole("row").nth(1).waitFor();
    await picture("agent");
  });

  await step("chains lists tasks, dead letters and integrity answer", async () => {
    await go("Chains");
    await page.getByRole("table", { name: "Tasks" }).getByRole("row").nth(1).waitFor();
    await go("Dead letters");
    const table = page.getByRole("table", { name: "Dead letters" });
    await table.or(page.getByText("No dead letters")).first().waitFor();
    await picture("dead-letters");
    await go("Integrity");
    await page.getByLabel(/^Checkpoint of ambit\.events\/\d+/).first().waitFor();
    await picture("integrity");
  });

  await step("the other theme and the local zone are one press away", async () => {
    await page.getByRole("button", { name: "Light theme" }).click();
    assert.equal(await page.locator("html").getAttribute("data-theme"), "light");
    await page.getByRole("button", { name: "Times in UTC" }).click();
    await go("Overview");
    await page.getByText(/UTC[+-]\d\d:\d\d/).first().waitFor();
    await page.getByRole("button", { name: "Times in local time" }).click();
    await picture("overview-light");
  });
}

function hijacked(page) {
  return page
    .getByRole("table", { name: "Findings" })
    .getByRole("row")
    .filter({ hasText: RULES })
    .filter({ hasText: /Critical|High/ })
    .filter({ hasText: /billing/i })
    .first();
}
