import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EvaClip } from "eva-clip";
import { createHandler, type RunningServer, serve } from "eva-clip/serve";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import smallModel from "../../scripts/package_consumer/small_model.json";
import { findBrowser, HOW_TO_GET_ONE, openBrowser } from "../support/browser";
import { MemoryStore } from "../support/memory_store";

const COLORS = ["red", "green", "blue", "yellow", "purple", "black", "white", "orange"];
const LABELS = ["dog", "cat", "bird"];
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

let folder: string;
let model: EvaClip;
let store: MemoryStore;
let server: RunningServer;
let bare: RunningServer;
let browser: Browser;
/** What went wrong in the pages, and which other origins they asked. */
let problems: string[];

const pathOf = (color: string) => join(folder, `${color}.png`);

/** A page whose console and requests are watched. */
async function open(
  address = server.url,
  { width = 1280, colorScheme = "light" as "light" | "dark", expected = /^$/ } = {},
): Promise<Page> {
  const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    if (!expected.test(message.text())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.origin !== new URL(address).origin) problems.push(request.url());
  });
  await page.goto(address);
  await page.waitForSelector('[data-state="ready"]');
  return page;
}

/** Drops or pastes a file as a person would. */
async function give(page: Page, kind: "drop" | "paste", selector: string, ...paths: string[]): Promise<void> {
  const files = paths.map((path) => ({ path, base64: readFileSync(path).toString("base64") }));
  const transfer = await page.evaluateHandle((given) => {
    const data = new DataTransfer();
    for (const { path, base64 } of given) {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      data.items.add(new File([bytes], path.split("/").pop()!, { type: "image/png" }));
    }
    return data;
  }, files);
  if (kind === "drop") await page.dispatchEvent(selector, "drop", { dataTransfer: transfer });
  else await page.dispatchEvent(selector, "paste", { clipboardData: transfer });
}

/** What the bars of a picture say: label and percentage, best first. */
async function barsOf(page: Page, name: string): Promise<[string, string][]> {
  const rows = page.locator(`.card:has(h2:text-is("${name}")) .bars li`);
  await rows.first().waitFor();
  return rows.evaluateAll((items) =>
    items.map((item) => [
      item.querySelector(".name")!.textContent!,
      item.querySelector(".value")!.textContent!,
    ]),
  );
}

async function expectedBars(color: string, labels: readonly string[], templates?: string[]) {
  const options = { topK: labels.length, ...(templates && { templates }) };
  const classified = await model.classify(pathOf(color), labels, options);
  return classified.map(({ label, probability }) => [label, `${(100 * probability).toFixed(1)} %`]);
}

const expectedMatches = async (vector: Float32Array, count = store.size) => {
  const [matches] = await store.nearest([vector], { count });
  return matches!.map(({ caption, similarity }) => [caption, similarity.toFixed(3)]);
};

async function matchesOf(page: Page): Promise<[string, string][]> {
  return page.locator(".tile").evaluateAll((tiles) =>
    tiles.map((tile) => [
      tile.querySelector(".caption")!.textContent!,
      tile.querySelector(".similarity")!.lastChild!.textContent!,
    ]),
  );
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    type Violation = { id: string; nodes: { html: string; failureSummary: string }[] };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html} ${nodes[0]!.failureSummary}`);
  });
}

const hasBrowser = findBrowser() !== undefined;
if (!hasBrowser && process.env.CI) test("a Chromium is there", () => openBrowser());
const inBrowser = hasBrowser ? describe : describe.skip;

inBrowser(hasBrowser ? "the page" : `the page (not tested: ${HOW_TO_GET_ONE})`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "eva-clip-page-"));
    for (const [i, background] of COLORS.entries()) {
      const create = { width: 40 + i, height: 30, channels: 3 as const, background };
      writeFileSync(pathOf(background), await sharp({ create }).png().toBuffer());
    }
    model = await EvaClip.create(smallModel, { device: "cpu", threads: 2, init: "fan_in" });
    const rows = await model.encodeImage(COLORS.map(pathOf));
    const entries = COLORS.map((color) => ({ source: `${color}.png`, caption: `all ${color}`, metadata: {} }));
    store = new MemoryStore(folder, "", entries, rows);
    server = await serve(createHandler({ small: model }, { page: true, index: store }), { port: 0 });
    bare = await serve(createHandler({ small: model }, { page: true, apiKey: "secret" }), { port: 0 });
    browser = await openBrowser();
  });

  beforeEach(() => {
    problems = [];
  });

  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    expect(problems).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await bare?.close();
    await model?.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  test("classifies pictures that are dropped, pasted and chosen, and follows labels and prompts", async () => {
    const page = await open();
    expect(await page.locator("#model-name").textContent()).toBe("small");
    expect(await page.locator("#device").textContent()).toBe("CPU · f32");
    await page.fill("#labels", LABELS.join("\n"));
    await give(page, "drop", "#classify-zone", pathOf("red"));
    await page.locator("text=1 picture: ").waitFor();
    expect(await barsOf(page, "red.png")).toEqual(await expectedBars("red", LABELS));
    await give(page, "paste", "body", pathOf("green"));
    await page.setInputFiles("#classify-files", [pathOf("blue")]);
    for (const color of ["green", "blue"])
      expect(await barsOf(page, `${color}.png`)).toEqual(await expectedBars(color, LABELS));

    const embedded: string[] = [];
    page.on("request", (request) => embedded.push(request.postData() ?? ""));
    const more = [...LABELS, "fish", "dog"];
    await page.fill("#labels", more.join("\n"));
    await page.locator(".card .bars li:nth-child(4)").first().waitFor();
    expect(await barsOf(page, "red.png")).toEqual(await expectedBars("red", [...LABELS, "fish"]));
    // Pictures are sent once, and so are labels.
    expect(embedded.map((body) => JSON.parse(body).input)).toEqual([["a photo of a fish."]]);

    await page.selectOption("#template", "seven");
    const seven = await import("eva-clip").then((clip) => [...clip.SIMPLE_IMAGENET_TEMPLATES]);
    const bars = await expectedBars("red", [...LABELS, "fish"], seven);
    await expect.poll?.(() => barsOf(page, "red.png"));
    await page.waitForFunction(() => !document.querySelector("#cards[aria-busy]"));
    expect(await barsOf(page, "red.png")).toEqual(bars);
  });
});
