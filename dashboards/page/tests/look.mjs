// Looks at the page as a person would: `node look.mjs URL` prints, as JSON, the verdicts that it shows and the documents of its
// views. The smoke run compares them with the API and searches them for what must not be there.

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const url = process.argv[2].replace(/\/$/, "");
const found = process.env.PATH.split(delimiter).map((folder) => join(folder, "chromium")).find((path) => existsSync(path));
if (!found) throw new Error("chromium is not on the PATH: run `deploy/setup/deps.sh browser`");
const browser = await chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
const page = await browser.newPage();
page.setDefaultTimeout(60_000);
const documents = [];

async function open(hash, waitFor) {
  await page.goto(`${url}/${hash}`);
  await page.locator(waitFor).first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".waiting"));
}

await open("#/", "[data-model], .empty");
documents.push(await page.content());
const models = await page.locator("article[data-model]").evaluateAll((cards) => cards.map((card) => card.dataset.model));
const states = [];
for (const model of models) {
  await open(`#/models/${encodeURIComponent(model)}`, ".tabs");
  const more = page.locator("button", { hasText: "Show more" });
  while (await more.count()) {
    const before = await page.locator("tr[data-feature]").count();
    await more.click();
    await page.waitForFunction((n) => document.querySelectorAll("tr[data-feature]").length > n, before);
  }
  states.push(...(await page.locator("tr[data-feature]").evaluateAll((rows) => rows.map(({ dataset }) => [dataset.model, dataset.feature, dataset.state]))));
  documents.push(await page.content());
  for (const view of ["confidence", "shadows"]) {
    await open(`#/models/${encodeURIComponent(model)}/${view}`, ".tabs");
    documents.push(await page.content());
  }
}
for (const [view, heading] of [["samples", "Samples"], ["events", "Events"], ["pipeline", "Pipeline"]]) {
  await open(`#/${view}`, `h1:has-text("${heading}")`);
  documents.push(await page.content());
}
await browser.close();
console.log(JSON.stringify({ states, documents }));
