// Screenshots of every view for docs/page.md: `node shots.mjs URL FOLDER`, against a demo that drifts (`make screenshots` starts one).
//
// A view that shows no data yet is waited for, so a picture never shows an empty frame.

import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const [url, folder] = [process.argv[2].replace(/\/$/, ""), process.argv[3]];
const found = process.env.PATH.split(delimiter).map((one) => join(one, "chromium")).find((path) => existsSync(path));
if (!found) throw new Error("chromium is not on the PATH: run `deploy/setup/deps.sh browser`");

const ROUTER = "#/models/support-router";
const DESK = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
/** Path of the file, place, what must be there, room. */
const SHOTS = [
  ["../page-1280", "#/", "[data-model] .spark canvas", DESK],
  ["model", `${ROUTER}?range=15m`, ".heat canvas", DESK],
  ["feature", `${ROUTER}/features/text.chars?range=15m`, "[data-cause]", DESK],
  ["confidence", `${ROUTER}/confidence?range=15m`, ".chart canvas", DESK],
  ["shadow", "#/models/digits/shadows", ".chart canvas", DESK],
  ["slos", "#/slos", ".slo .meter", DESK],
  ["slo", "#/slos/router-latency", ".chart canvas", DESK],
  ["samples", "#/samples?model=support-router", ".samples li", DESK],
  ["events", "#/events?range=1h", ".events li", DESK],
  ["pipeline", "#/pipeline", ".flow li", DESK],
  ["../page-390", "#/", "[data-model] .spark canvas", PHONE],
  ["model-390", `${ROUTER}?range=15m`, ".heat canvas", PHONE],
];

mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
for (const [name, hash, part, viewport] of SHOTS) {
  const context = await browser.newContext({ viewport, colorScheme: "dark", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  await page.goto(`${url}/${hash}`);
  await page.locator(part).first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".waiting"));
  // a frame, so that charts have drawn
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await context.close();
  console.error(`shots: ${name}.png`);
}
await browser.close();
