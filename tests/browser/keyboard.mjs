// The console without a mouse.

import assert from "node:assert/strict";
import { step } from "./browser.mjs";

export async function keyboard({ page, url }) {
  const heading = (name) => page.getByRole("heading", { level: 1, name }).waitFor();

  await step("the first Tab reaches the way past the navigation", async () => {
    await page.goto(url);
    await heading("Overview");
    await page.keyboard.press("Tab");
    const skip = page.getByRole("button", { name: "Skip to content" });
    assert.ok(await skip.evaluate((element) => element === document.activeElement), "the skip link has the focus");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), "MAIN");
  });

  await step("? lists the keys, Escape closes the list", async () => {
    await page.keyboard.press("?");
    const keys = page.getByRole("dialog", { name: "Keyboard shortcuts" });
    await keys.waitFor();
    await page.keyboard.press("Escape");
    await keys.waitFor({ state: "detached" });
  });

  await step("g f goes to the findings, j and Enter open one, Escape closes it", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("f");
    await heading("Findings");
    await page.getByRole("table", { name: "Findings" }).getByRole("row").nth(1).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    const sheet = page.getByRole("dialog", { name: "Finding" });
    await sheet.waitFor();
    assert.ok(await sheet.evaluate((element) => element.contains(document.activeElement)), "the focus is in the sheet");
    await page.keyboard.press("Escape");
    await sheet.waitFor({ state: "detached" });
  });

  await step("/ goes to the search field, on this page or on the search page", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("abc");
    assert.equal(await page.getByRole("searchbox", { name: "Text" }).inputValue(), "abc");
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Integrity", exact: true }).press("Enter");
    await heading("Integrity");
    await page.keyboard.press("/");
    await heading("Search");
    const field = page.getByRole("searchbox", { name: "Text" });
    await page.waitForFunction((element) => element === document.activeElement, await field.elementHandle());
    await page.keyboard.press("Escape");
  });

  await step("j and k go through search results, Enter opens one", async () => {
    const table = page.getByRole("table", { name: "Events" });
    await table.getByRole("row").nth(2).waitFor();
    for (const key of ["j", "j", "k", "Enter"]) await page.keyboard.press(key);
    const pane = page.getByRole("complementary", { name: "Event" });
    await pane.getByRole("region", { name: "Inclusion proof" }).waitFor();
    await page.keyboard.press("Escape");
    await pane.waitFor({ state: "detached" });
  });

  await step("every control of a page shows that it has the focus", async () => {
    for (let press = 0; press < 12; press += 1) {
      await page.keyboard.press("Tab");
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle);
      assert.notEqual(outline, "none", await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 120) ?? ""));
    }
  });
}
