import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

export const HOW_TO_GET_ONE = "install chromium (apt-get install chromium), or name one in EVA_CLIP_CHROMIUM";

/** The path of a Chromium: `EVA_CLIP_CHROMIUM`, or the first one on PATH. */
export function findBrowser(): string | undefined {
  if (process.env.EVA_CLIP_CHROMIUM) return process.env.EVA_CLIP_CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts a headless Chromium. @throws Error that says how to get one */
export async function openBrowser(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined) throw new Error(`there is no Chromium: ${HOW_TO_GET_ONE}`);
  return chromium.launch({ executablePath, args: FLAGS });
}
