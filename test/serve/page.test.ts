import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { EvaClip, SIMPLE_IMAGENET_TEMPLATES } from "eva-clip";
import { createHandler, type RunningServer, serve } from "eva-clip/serve";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import smallModel from "../../scripts/package_consumer/small_model.json";
import { modelFingerprint } from "../../lib/clip/model_fingerprint";
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

/** Drops or pastes files as a person would; its text runs in the page. */
const GIVE = `({ kind, selector, files }) => {
  const data = new DataTransfer();
  for (const { name, base64 } of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: "image/png" }));
  }
  const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
  const event = kind === "drop" ? new DragEvent(kind, options) : new ClipboardEvent(kind, options);
  document.querySelector(selector).dispatchEvent(event);
}`;

async function give(page: Page, kind: "drop" | "paste", selector: string, ...paths: string[]): Promise<void> {
  const files = paths.map((path) => ({ name: basename(path), base64: readFileSync(path, "base64") }));
  await page.evaluate(`(${GIVE})(${JSON.stringify({ kind, selector, files })})`);
}

/** What the bars of a picture say: label and percentage, best first. */
async function barsOf(page: Page, name: string): Promise<[string, string][]> {
  const rows = page.locator(`.card:has(h2:text-is("${name}")) .bars li`);
  await rows.first().waitFor();
  await page.locator("#cards:not([aria-busy])").waitFor();
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

/** The captions and similarities that the page must show for a query. */
async function expectedMatches(query: Float32Array, leftOut?: string) {
  const [matches] = await store.nearest([query]);
  return matches!
    .map(({ source, caption, similarity }) => [caption ?? source, similarity.toFixed(3)])
    .filter(([name]) => name !== leftOut);
}

async function matchesOf(page: Page, count = COLORS.length): Promise<string[][]> {
  await page.locator(`.tile >> nth=${count - 1}`).waitFor();
  await page.locator("#matches:not([aria-busy])").waitFor();
  const tiles = await page.locator(".tile").all();
  return Promise.all(
    tiles.map(async (tile) => [
      (await tile.locator(".caption").textContent())!,
      (await tile.locator(".similarity").textContent())!.replace(/^similarity\s*/, ""),
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
    const entries = COLORS.map((color) => ({
      source: `${color}.png`,
      caption: `all ${color}`,
      metadata: {},
    }));
    store = new MemoryStore(folder, await modelFingerprint(model.model), entries, rows);
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
    const seven = [...SIMPLE_IMAGENET_TEMPLATES];
    expect(await barsOf(page, "red.png")).toEqual(await expectedBars("red", [...LABELS, "fish"], seven));
    await page.selectOption("#template", "own");
    await page.fill("#own-template", "my {}");
    expect(await barsOf(page, "red.png")).toEqual(await expectedBars("red", [...LABELS, "fish"], ["my {}"]));

    await page.getByRole("button", { name: "Remove red.png" }).click();
    expect(await page.locator(".card").count()).toBe(2);
    await page.getByRole("button", { name: "Remove all" }).click();
    expect(await page.locator("#classify-zone").isVisible()).toBe(true);
  });

  test("searches the index by text and by picture, and goes from neighbor to neighbor and back", async () => {
    const page = await open(`${server.url}/#search`);
    expect(await page.locator("#index-size").textContent()).toBe("8 pictures");
    await page.fill("#query", "a dog");
    const byText = await expectedMatches(await model.encodeText("a dog"));
    expect(await matchesOf(page)).toEqual(byText);
    await page.locator(".tile img").first().waitFor();
    const sizes = await page
      .locator(".tile img")
      .evaluateAll((images) =>
        Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth))),
      );
    expect([...sizes].sort()).toEqual(COLORS.map((_, i) => 40 + i));

    await page.locator(".tile").first().click();
    await page.locator("#asked").waitFor();
    const [first] = (await store.nearest([await model.encodeText("a dog")], { count: 1 }))[0]!;
    const vector = (await store.vector(first!.id))!;
    expect(await page.locator("#asked-name").textContent()).toBe(first!.caption);
    expect(await matchesOf(page, 7)).toEqual(await expectedMatches(vector, first!.caption));
    await page.goBack();
    expect(await matchesOf(page)).toEqual(byText);

    await give(page, "drop", "#matches", pathOf("purple"));
    await page.locator("#asked").waitFor();
    expect(await matchesOf(page)).toEqual(await expectedMatches(await model.encodeImage(pathOf("purple"))));
    await page.reload();
    await page.goto(`${server.url}/#search?in=index&like=2`);
    await page.locator('#asked-name:text-is("all blue")').waitFor();
  });

  test("without an index it says how to make one, asks for the key, and searches a folder of the visitor", async () => {
    const page = await browser.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(`${bare.url}/#search`);
    await page.fill("#key", "wrong");
    await page.keyboard.press("Enter");
    await page.locator("text=The server refused this key").waitFor();
    await page.fill("#key", "secret");
    await page.keyboard.press("Enter");
    await page.locator("text=eva-clip index MODEL photos").waitFor();
    await page.click("#use-own");
    writeFileSync(join(folder, "broken.png"), "no picture");
    await page.setInputFiles("#own-folder", folder);
    await page.locator("text=1 picture could not be read").waitFor();
    rmSync(join(folder, "broken.png"));
    expect(await page.locator("#own-size").textContent()).toBe("8 pictures");
    await page.fill("#query", "a dog");
    const expected = await expectedMatches(await model.encodeText("a dog"));
    const inOrder = expected.map(([caption, similarity]) => [
      `${caption!.replace("all ", "")}.png`,
      similarity,
    ]);
    expect(await matchesOf(page)).toEqual(inOrder);
    await page.locator(".tile").first().click();
    await page.locator("#asked").waitFor();
    expect((await matchesOf(page, 7))[0]![0]).not.toBe(inOrder[0]![0]);
  });

  test("says what failed, and can try again", async () => {
    const page = await open(server.url, { expected: /status of 4(13|29)/ });
    const refuse = (status: number, message: string, headers = {}) => {
      return page.route("**/v1/embeddings", (route) =>
        route.fulfill({ status, headers, json: { error: { message, type: "x", param: null, code: null } } }),
      );
    };
    await refuse(413, "the body is larger than the limit of 8 bytes");
    await give(page, "drop", "body", pathOf("red"));
    await page.locator(".card-message.wrong").waitFor();
    expect(await page.locator(".card-message.wrong").textContent()).toContain(
      "This is larger than the server accepts: the body is larger than the limit of 8 bytes",
    );
    await page.unroute("**/v1/embeddings");
    await page.locator(".card-message button").click();
    await barsOf(page, "red.png");

    await refuse(429, "the queue is full", { "retry-after": "3" });
    await page.fill("#labels", "something new");
    const notice = page.getByRole("alert").locator(".notice");
    await notice.waitFor();
    expect(await notice.textContent()).toContain("The server is busy. The queue is full. Try again in 3 s.");
    await page.unroute("**/v1/embeddings");
    await notice.getByRole("button", { name: "Try again" }).click();
    await page.locator('.bars .name:text-is("something new")').waitFor();
    expect(await notice.count()).toBe(0);
  });

  test("works by keyboard alone", async () => {
    const page = await open();
    page.on("filechooser", (chooser) => chooser.setFiles(pathOf("red")));
    const focused = () => page.evaluate("document.activeElement.id || document.activeElement.textContent");
    const order: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      await page.keyboard.press("Tab");
      order.push(await focused());
    }
    expect(order.slice(3)).toEqual(["appearance", "labels", "template", "classify-choose"]);
    await page.keyboard.press("Enter");
    await barsOf(page, "red.png");
    await page.locator("#labels").focus();
    await page.keyboard.press("Control+A");
    await page.keyboard.type("owl\nfox");
    await page.locator('.bars .name:text-is("fox")').waitFor();
    expect(await barsOf(page, "red.png")).toEqual(await expectedBars("red", ["owl", "fox"]));

    await page.locator('nav a[data-view="search"]').focus();
    await page.keyboard.press("Enter");
    // What is not visible yet cannot take the focus.
    await page.locator("#query").waitFor();
    await page.locator("#query").focus();
    await page.keyboard.type("a dog");
    await page.keyboard.press("Enter");
    await matchesOf(page);
    await page.locator(".tile").first().focus();
    await page.keyboard.press("Enter");
    await matchesOf(page, 7);
  });

  test.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 360],
    ["dark", 360],
  ] as const)("is accessible in %s colors at %d pixels, and fits", async (colorScheme, width) => {
    const page = await open(server.url, { width, colorScheme });
    expect(await violations(page)).toEqual([]);
    await give(page, "drop", "body", pathOf("red"), pathOf("blue"));
    await barsOf(page, "blue.png");
    expect(await violations(page)).toEqual([]);
    await page.click('nav a[data-view="search"]');
    await page.fill("#query", "a dog");
    await matchesOf(page);
    expect(await violations(page)).toEqual([]);
    await page.click("text=Your pictures");
    await page.locator("#own-zone").waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
  });

  test("switches between light and dark colors, and remembers", async () => {
    const page = await open();
    const ground = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const light = await ground();
    await page.getByRole("button", { name: "Switch to dark colors" }).click();
    const dark = await ground();
    expect(dark).not.toBe(light);
    await page.reload();
    expect(await ground()).toBe(dark);
  });
});

describe("the page's files", () => {
  let only: EvaClip;
  beforeAll(async () => {
    only = await EvaClip.create(smallModel, { device: "cpu", threads: 1 });
  });
  afterAll(() => only.dispose());

  test("have types, a policy and versions, and nothing else is served", async () => {
    await using paged = createHandler(only, { page: true });
    const ask = (path: string, headers = {}) => paged(new Request(`http://localhost${path}`, { headers }));
    const page = await ask("/");
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self'/);
    const etag = page.headers.get("etag")!;
    for (const value of [etag, `W/${etag}`, `"other", ${etag}`, "*"])
      expect((await ask("/", { "if-none-match": value })).status).toBe(304);
    expect((await ask("/", { "if-none-match": '"other"' })).status).toBe(200);
    const links = [...(await page.text()).matchAll(/(?:src|href)="(page\/[^"]+)"/g)].map(([, link]) => link!);
    expect(links.length).toBeGreaterThan(3);
    for (const link of links) expect((await ask(`/${link}`)).status).toBe(200);
    for (const path of ["/page/index.html", "/page/..%2f..%2fpackage.json", "/page/none.css", "/page/"])
      expect((await ask(path)).status).toBe(404);
    await using below = createHandler(only, { page: true, basePath: "/clip" });
    const mounted = (path: string) => below(new Request(`http://localhost${path}`));
    expect((await mounted("/clip")).headers.get("location")).toBe("/clip/");
    expect((await mounted("/clip/")).status).toBe(200);
    expect((await mounted("/clip/page/main.mjs")).status).toBe(200);
    await using bare = createHandler(only);
    expect((await bare(new Request("http://localhost/"))).status).toBe(404);
  });
});
