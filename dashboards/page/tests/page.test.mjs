// The page in Chromium, against a real analyzer: run by tests/it/page.rs, which fills one with data and leaves another empty.
//
//   DRIFTLINE_PAGE    the analyzer with data
//   DRIFTLINE_EMPTY   one without any
//   DRIFTLINE_MODEL   a model with traffic, a shadow, labels and samples; DRIFTLINE_WIDE one with 10,000 features
//   DRIFTLINE_SHOTS   a folder: screenshots of every view are put there

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";

const { DRIFTLINE_PAGE: PAGE, DRIFTLINE_EMPTY: EMPTY, DRIFTLINE_MODEL: MODEL, DRIFTLINE_WIDE: WIDE, DRIFTLINE_SHOTS: SHOTS } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** A loaded machine is slow, and time decides no test. */
const PATIENCE = 90_000;

function browserPath() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = process.env.PATH.split(delimiter).flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
  if (!found) throw new Error("no Chromium is on the PATH: run `deploy/setup/deps.sh browser`");
  return found;
}

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: browserPath(), args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
});
after(() => browser?.close());

/** A page that notes whatever a browser complains about. */
async function open(base, hash, settings = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", bypassCSP: false, ...settings });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(`${base}/${hash}`);
  return { page, complaints, close: () => context.close() };
}

/** Violations of WCAG 2.1 A and AA, and of good practice. axe is put in over the debugger, which the policy does not bind. */
async function violations(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const found = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  });
}

/** Waits until nothing is waited for any more. */
async function settled(page) {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => !document.querySelector(".waiting"));
  // a frame, so that charts have drawn
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

const VIEWS = [
  ["overview", "#/", [`[data-model="${MODEL}"]`, ".spark canvas", ".budgets li", ".events li", ".ledger"]],
  ["model", `#/models/${MODEL}?range=15m`, [".chart canvas", ".heat canvas", ".heat .names li", `[data-feature="output.confidence"]`, ".shares .share"]],
  ["feature", `#/models/${MODEL}/features/output.confidence?range=15m`, [".chart canvas", ".stats .stat", ".changes li"]],
  ["segments", `#/models/${MODEL}/features/text.chars?range=15m`, ["[data-cause]", "[data-segment]", ".chart canvas"]],
  ["categories", `#/models/${MODEL}/features/output.label?range=15m`, [".shares .share", ".chart canvas"]],
  ["confidence", `#/models/${MODEL}/confidence?range=15m`, [".chart canvas", ".shares .share"]],
  ["slos", "#/slos", [".slo .meter", ".burns li"]],
  ["slo", "#/slos/available", [".chart canvas", ".burns li"]],
  ["shadow", `#/models/${MODEL}/shadows`, [".verdict .badge", ".chart canvas", ".flips td", ".samples li", ".guardrails td", ".classes td"]],
  ["samples", `#/samples?model=${MODEL}`, [".samples li", ".samples .masked"]],
  ["events", "#/events?range=1d", [".events li"]],
  ["pipeline", "#/pipeline", [".flow li", ".ledger", ".unnamed"]],
];

describe("every view", () => {
  for (const [name, hash, parts] of VIEWS) {
    it(`${name} shows what is stored, without a complaint and without a barrier`, async () => {
      const { page, complaints, close } = await open(PAGE, hash);
      await settled(page);
      for (const part of parts) await page.locator(part).first().waitFor();
      assert.deepEqual(await violations(page), []);
      assert.equal(await page.locator(".trouble").count(), 0);
      assert.deepEqual(complaints, []);
      await close();
    });
  }

  for (const [name, hash, parts] of VIEWS) {
    it(`${name} works at 390 pixels, in the dark`, async () => {
      const { page, complaints, close } = await open(PAGE, hash, { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true });
      await settled(page);
      await page.locator(parts[0]).first().waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${wide} pixels stick out`);
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(complaints, []);
      await close();
    });
  }
});

describe("the page", () => {
  it("paints from one request, under a policy that allows nothing else", async () => {
    const { page, complaints, close } = await open(PAGE, "#/");
    await settled(page);
    const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map((one) => new URL(one.name).pathname));
    assert.deepEqual(loaded.filter((path) => !path.startsWith("/api/v1/")), []);
    const policy = (await page.request.get(PAGE)).headers()["content-security-policy"];
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+';/);
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "globalThis.intruder = true";
      document.body.append(script);
      return "intruder" in globalThis;
    });
    assert.equal(ran, false);
    assert.equal(complaints.length, 1, "the intruder was refused");
    await close();
  });

  it("moves by itself: the stream brings what is new", async () => {
    const { page, close } = await open(PAGE, "#/pipeline");
    await settled(page);
    const at = () => page.locator(".fresh").textContent();
    const first = await at();
    assert.match(first, /live/);
    await page.waitForFunction((was) => document.querySelector(".fresh").textContent !== was, first);
    await close();
  });

  it("is driven by keys", async () => {
    const { page, close } = await open(PAGE, "#/");
    await settled(page);
    for (const [key, heading] of [["o", "Objectives"], ["s", "Samples"], ["e", "Events"], ["p", "Pipeline"]]) {
      await page.keyboard.press(key);
      await page.locator("h1", { hasText: heading }).waitFor();
    }
    assert.equal(await page.evaluate(() => document.activeElement.id), "content");
    await page.keyboard.press("Escape");
    await page.locator(`[data-model="${MODEL}"]`).waitFor();
    await page.keyboard.press("?");
    await page.locator("dialog[open]").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog[open]").waitFor({ state: "detached" });
    await page.goto(`${PAGE}/#/models/${MODEL}`);
    await page.locator(`[data-feature="output.confidence"]`).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("margin");
    await page.locator(`[data-feature="output.confidence"]`).waitFor({ state: "detached" });
    assert.match(page.url(), /match=margin/);
    await close();
  });

  it("puts what moved first", async () => {
    const { page, close } = await open(PAGE, `#/models/${MODEL}`);
    await settled(page);
    const states = await page.locator("tr[data-feature]").evaluateAll((rows) => rows.map((row) => row.dataset.state));
    const moved = states.filter((state) => state === "drifted").length;
    assert.ok(moved > 0 && states.slice(0, moved).every((state) => state === "drifted"), states.join(" "));
    assert.match(await page.locator(".overall").textContent(), new RegExp(`${MODEL}.* drifted`));
    await close();
  });

  it("keeps the range of time in the address, from view to view", async () => {
    const { page, close } = await open(PAGE, `#/models/${MODEL}?range=15m`);
    await settled(page);
    await page.locator("[data-feature] a").first().click();
    await page.locator(".crumbs").waitFor();
    assert.match(page.url(), /features\/.*range=15m/);
    await page.keyboard.press("]");
    await page.locator('button[aria-pressed="true"]', { hasText: "1h" }).waitFor();
    assert.match(page.url(), /range=1h/);
    await close();
  });

  it("follows the links that alerts carry", async () => {
    const { page, close } = await open(PAGE, `#/${MODEL}`);
    await page.locator("h1", { hasText: MODEL }).waitFor();
    await page.goto(`${PAGE}/#/${MODEL}/output.confidence`);
    await page.locator("h1", { hasText: "output.confidence" }).waitFor();
    await close();
  });

  it("changes its colours when asked", async () => {
    const { page, close } = await open(PAGE, "#/");
    await settled(page);
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const auto = await ground();
    await page.keyboard.press("t");
    await page.keyboard.press("t");
    assert.notEqual(await ground(), auto);
    await page.reload();
    await settled(page);
    assert.notEqual(await ground(), auto, "the choice is kept");
    await close();
  });

  it("filters samples, and shows masks as masks", async () => {
    const { page, close } = await open(PAGE, `#/samples?model=${MODEL}`);
    await settled(page);
    await page.locator("input[type=search]").fill("no sample says this");
    await page.keyboard.press("Enter");
    await page.locator(".empty").waitFor();
    await close();
  });

  it("gives the numbers of a chart to whoever asks", async () => {
    const { page, close } = await open(PAGE, `#/models/${MODEL}?range=15m`);
    await settled(page);
    await page.locator(".numbers summary").first().click();
    await page.locator(".numbers[open] tbody tr").first().waitFor();
    await close();
  });
});

describe("parts of the traffic", () => {
  const FEATURE = `#/models/${MODEL}/features/output.confidence?range=15m`;
  const PANEL = '.panel:has(h2:has-text("By segment"))';

  /** The feature as it is, with what would take a day of traffic put in place of its segments. */
  async function withParts(change) {
    const found = await open("about:blank#", "");
    await found.page.route("**/features/output.confidence", async (route) => {
      const answer = await route.fetch();
      const detail = await answer.json();
      change(detail);
      await route.fulfill({ response: answer, json: detail });
    });
    await found.page.goto(`${PAGE}/${FEATURE}`);
    await settled(found.page);
    return found;
  }

  it("stand under the feature, each with its verdict", async () => {
    const { page, complaints, close } = await open(PAGE, FEATURE);
    await settled(page);
    await page.locator('[data-segment="text.length_bucket"]').first().waitFor();
    assert.match(await page.locator(PANEL).locator(".aside").textContent(), /parts? drifted of \d+/);
    const shown = await page.locator("[data-segment]").evaluateAll((rows) => rows.map(({ dataset }) => [dataset.value, dataset.state]));
    const detail = await (await page.request.get(`${PAGE}/api/v1/models/${MODEL}/features/output.confidence`)).json();
    // a window later another part may have come
    assert.ok(detail.segments.some((one) => shown.some(([value]) => value === one.value)), `${shown}`);
    assert.ok(shown.every(([, state]) => ["drifted", "watch", "resolved", "stable", "insufficient"].includes(state)), `${shown}`);
    assert.deepEqual(complaints, []);
    await close();
  });

  it("that are not judged yet say what they wait for, and where none are named nothing is said", async () => {
    const waiting = await withParts((detail) => Object.assign(detail, { segments: [], parts: { judged: 0, waiting: ["client"] } }));
    await waiting.page.locator(PANEL, { hasText: "The reference of client" }).waitFor();
    assert.deepEqual(await violations(waiting.page), []);
    await waiting.close();
    const none = await withParts((detail) => Object.assign(detail, { segments: [], causes: [], parts: null }));
    assert.equal(await none.page.locator(PANEL).count(), 0);
    assert.deepEqual(none.complaints, []);
    await none.close();
  });

  it("that are many stay few until somebody asks", async () => {
    const { page, complaints, close } = await withParts((detail) => {
      detail.segments = Array.from({ length: 100 }, (_, i) => ({ ...detail.segments[0], value: `value ${i}`, state: i < 3 ? "drifted" : "stable" }));
      detail.parts = { judged: 500, waiting: [] };
    });
    assert.match(await page.locator(PANEL).locator(".aside").textContent(), /3 parts drifted of 500/);
    assert.equal(await page.locator("[data-segment]").count(), 24);
    await page.locator("button", { hasText: "Show 100" }).click();
    await page.waitForFunction(() => document.querySelectorAll("[data-segment]").length === 100);
    await page.locator(PANEL, { hasText: "The other 400 are in the API" }).waitFor();
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(complaints, []);
    await close();
  });
});

describe("with 10,000 features", () => {
  it("a model stays quick to read and to search", async () => {
    const { page, complaints, close } = await open(PAGE, `#/models/${WIDE}`);
    await settled(page);
    await page.locator("tr[data-feature]").first().waitFor();
    assert.match(await page.locator(".panel:has(table.features) > h2 .aside").textContent(), /10.000/);
    const elements = await page.evaluate(() => document.querySelectorAll("*").length);
    assert.ok(elements < 5_000, `${elements} elements`);
    await page.locator("input[type=search]").fill("col_9999");
    await page.locator('tr[data-feature="input.col_9999"]').waitFor();
    await page.waitForFunction(() => document.querySelectorAll("tr[data-feature]").length === 1);
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(complaints, []);
    await close();
  });

  it("a request that named no model is no card", async () => {
    const { page, close } = await open(PAGE, "#/");
    await page.locator(`[data-model="${MODEL}"]`).waitFor();
    assert.equal(await page.locator('[data-model="unknown"]').count(), 0);
    await close();
  });

  it("the overview stays small", async () => {
    const { page, close } = await open(PAGE, "#/");
    const bytes = (await (await page.request.get(`${PAGE}/api/v1/glance`)).body()).length;
    assert.ok(bytes < 30_000, `${bytes} bytes`);
    await page.locator(`[data-model="${WIDE}"]`).waitFor();
    await close();
  });
});

describe("without data", () => {
  for (const [name, hash, says] of [
    ["overview", "#/", "Nothing has been asked yet"],
    ["slos", "#/slos", "No objectives"],
    ["samples", "#/samples", "No sample matches"],
    ["events", "#/events?kind=drift", "Nothing happened in this range"],
    ["pipeline", "#/pipeline", "On their way"],
    ["model", "#/models/absent", "Nothing of that name"],
    ["feature", "#/models/absent/features/absent", "Nothing of that name"],
    ["confidence", "#/models/absent/confidence", "Nothing of that name"],
    ["shadows", "#/models/absent/shadows", "Nothing of that name"],
    ["slo", "#/slos/absent", "Nothing of that name"],
  ]) {
    it(`${name} says so`, async () => {
      const { page, complaints, close } = await open(EMPTY, hash);
      await page.locator("main", { hasText: says }).waitFor();
      assert.deepEqual(await violations(page), []);
      // a browser notes each 404 itself
      assert.deepEqual(complaints.filter((text) => !text.includes("404")), []);
      await close();
    });
  }
});

describe("when the analyzer fails", () => {
  for (const [name, fail] of [
    ["is away", (route) => route.abort()],
    ["answers 503", (route) => route.fulfill({ status: 503, contentType: "application/json", body: '{"error":"the database did not answer; try again"}' })],
    ["answers nonsense", (route) => route.fulfill({ status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>" })],
  ]) {
    it(`${name}: each view says so and comes back`, async () => {
      const { page, complaints, close } = await open(PAGE, "#/");
      await settled(page);
      await page.route("**/api/v1/**", fail);
      await page.goto(`${PAGE}/#/models/${MODEL}?range=6h`);
      await page.locator(".trouble").first().waitFor();
      await page.reload();
      await page.locator(".banner[role=alert]").waitFor();
      assert.deepEqual(await violations(page), []);
      await page.unroute("**/api/v1/**");
      await page.locator("[data-feature]").first().waitFor();
      await page.locator(".banner").waitFor({ state: "detached" });
      assert.deepEqual(complaints.filter((text) => !/Failed to load resource|EventSource/.test(text)), []);
      await close();
    });
  }
});

describe("when cycles fail", () => {
  it("what is shown is called old, and the browser's own clock has no say in it", async () => {
    const { page, complaints, close } = await open("about:blank#", "");
    await page.route("**/api/v1/stream", (route) => route.abort());
    await page.route("**/api/v1/glance", async (route) => {
      const answer = await route.fetch();
      const glance = await answer.json();
      await route.fulfill({ response: answer, json: { ...glance, at_ms: glance.sent_ms - 600_000 } });
    });
    await page.goto(`${PAGE}/#/`);
    await page.locator(".banner[role=alert]", { hasText: "has looked at nothing since" }).waitFor();
    assert.match(await page.locator(".fresh").textContent(), /^1\d.min old/);
    assert.deepEqual(await violations(page), []);
    await page.unroute("**/api/v1/glance");
    await page.unroute("**/api/v1/stream");
    await page.locator(".banner").waitFor({ state: "detached" });
    assert.deepEqual(complaints.filter((text) => !/Failed to load resource|EventSource/.test(text)), []);
    await close();
  });
});

describe("screenshots", { skip: !SHOTS && "DRIFTLINE_SHOTS is not set" }, () => {
  for (const [name, hash, parts] of VIEWS)
    for (const [width, colorScheme] of [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]])
      it(`${name} at ${width} ${colorScheme}`, async () => {
        mkdirSync(SHOTS, { recursive: true });
        const { page, close } = await open(PAGE, hash, { viewport: { width, height: width === 390 ? 844 : 900 }, colorScheme });
        await settled(page);
        await page.locator(parts[0]).first().waitFor();
        await page.screenshot({ path: join(SHOTS, `${name}-${width}-${colorScheme}.png`), fullPage: true });
        await close();
      });
});
