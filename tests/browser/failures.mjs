// What is shown when the API cannot be reached, or refuses the token.

import assert from "node:assert/strict";
import { step } from "./browser.mjs";

export async function failures({ page, base, url, token, expectFailures, picture }) {
  const api = "**/api/v1/**";

  await step("a page that cannot load says so, and loads on request once it can", async () => {
    await page.goto(url);
    await page.getByRole("list", { name: "Agents and their state" }).waitFor();
    expectFailures(true);
    await page.route(api, (route) => route.abort("connectionrefused"));
    await page.getByRole("alert").filter({ hasText: "last good answer" }).waitFor();
    await page.getByRole("link", { name: "Search", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Search" }).waitFor();
    const alert = page.getByRole("alert").filter({ hasText: "The API cannot be reached" });
    await alert.waitFor();
    await picture("unreachable");
    await page.unroute(api);
    await alert.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("table", { name: "Events" }).waitFor();
  });

  await step("a server's problem is shown in its own words", async () => {
    const problem = { type: "about:blank", title: "The query took too long", status: 400, detail: "narrow the time range" };
    await page.route(api, (route) =>
      route.fulfill({ status: 400, contentType: "application/problem+json", body: JSON.stringify(problem) }),
    );
    await page.getByRole("link", { name: "Agents", exact: true }).click();
    const alert = page.getByRole("alert");
    await alert.getByText("The query took too long").waitFor();
    assert.match(await alert.innerText(), /narrow the time range/);
    await page.unroute(api);
  });

  await step("a refused token is asked for, and a good one continues where one was", async () => {
    await page.goto("about:blank");
    await page.goto(`${base}#token=not-the-token`);
    const form = page.getByRole("form", { name: "Token" });
    await form.waitFor();
    await picture("token");
    await form.getByLabel("Token").fill(decodeURIComponent(token));
    await form.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("list", { name: "Agents and their state" }).waitFor();
    expectFailures(false);
  });

  await step("an address that leads nowhere says so", async () => {
    await page.goto(`${base}#/nowhere`);
    await page.getByText("There is no such page").waitFor();
  });
}
