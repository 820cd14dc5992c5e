// Takes the pictures of docs/page.md: the page with the demo's model, in light and dark colors.
//   node -C eva-clip-source -r ts-node/register/transpile-only examples/emoji/page_images.ts
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { openBrowser } from "../../test/support/browser";
import { serveDemo } from "./serve";

const OUT = resolve(__dirname, "../../docs/images");
const LABELS = ["owl", "tulip", "strawberry", "bicycle", "rocket", "octopus"];
const PICTURES = ["owl", "tulip", "strawberry", "bicycle", "rocket", "octopus"];

/** Fewer colors: the page has few, and the files stay small. */
async function save(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(600);
  const screen = await page.screenshot();
  await sharp(screen)
    .png({ palette: true, colors: 200, effort: 10 })
    .toFile(join(OUT, `page-${name}.png`));
}

async function classify(page: Page, drawings: string): Promise<void> {
  await page.fill("#labels", LABELS.join("\n"));
  await page.selectOption("#template", "label");
  const paths = PICTURES.map((name) => join(drawings, `${name}.png`));
  await page.setInputFiles("#classify-files", paths);
  await page.locator(`.bars .best >> nth=${PICTURES.length - 1}`).waitFor();
}

async function search(page: Page, text: string): Promise<void> {
  await page.click('nav a[data-view="search"]');
  await page.fill("#query", text);
  await page.locator(".tile").first().waitFor();
}

async function main(): Promise<void> {
  await mkdir(OUT, { recursive: true });
  await using server = await serveDemo({ run: "runs/demo", style: "fluent-emoji-flat", port: 0 });
  const browser = await openBrowser();
  for (const colorScheme of ["light", "dark"] as const) {
    const page = await browser.newPage({ viewport: { width: 1180, height: 740 }, colorScheme });
    await page.goto(server.url);
    await page.locator('[data-state="ready"]').waitFor();
    await classify(page, server.drawings);
    await save(page, `classify-${colorScheme}`);
    await search(page, "red fruit");
    await save(page, `search-${colorScheme}`);
    await page.locator(".tile").first().click();
    await page.locator("#asked").waitFor();
    await save(page, `neighbors-${colorScheme}`);
    await page.close();
  }
  await browser.close();
}

main();
