// Serves the model of the demo, with the drawings of one style to classify and to search.
//   node -C eva-clip-source -r ts-node/register/transpile-only examples/emoji/serve.ts [--help]
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { EvaClip } from "eva-clip";
import { ClipTokenizer, openDataset } from "eva-clip/data";
import { buildIndex, openIndex } from "eva-clip/search";
import { createHandler, type RunningServer, serve } from "eva-clip/serve";
import sharp from "sharp";
import { ART_MODULES, ensureArt } from "./art";
import { BACKGROUND } from "./augment";
import { loadConcepts } from "./concepts";
import { rasterizeStyle } from "./rasterize";
import { STYLES, type Style } from "./styles";
import { Vocabulary } from "./vocabulary";

interface ServeOptions {
  readonly run: string;
  readonly style: string;
  readonly port: number;
}

const SIZE = 160;

/**
 * RGBA of a drawing, with the model's background color where it is transparent: models see no transparency, people do.
 * @param pixels u8 [SIZE, SIZE, 4], straight alpha
 */
function onBackground(pixels: Uint8Array): Uint8Array {
  return pixels.map((value, i) => {
    if (i % 4 === 3) return value;
    const alpha = pixels[i - (i % 4) + 3]! / 255;
    return Math.round(alpha * value + (1 - alpha) * 255 * BACKGROUND[i % 4]!);
  });
}

/** Writes a style's drawings as pictures with captions. → their folder */
export async function writeDrawings(style: Style, folder: string): Promise<string> {
  const concepts = loadConcepts(ART_MODULES);
  const drawn = await rasterizeStyle(style, concepts, ART_MODULES, SIZE);
  await mkdir(folder, { recursive: true });
  const bytes = SIZE * SIZE * 4;
  const raw = { width: SIZE, height: SIZE, channels: 4 as const };
  for (const [i, index] of drawn.concepts.entries()) {
    const { slug, label } = concepts[index]!;
    const pixels = onBackground(drawn.pixels.slice(i * bytes, (i + 1) * bytes));
    await sharp(pixels, { raw })
      .png()
      .toFile(join(folder, `${slug}.png`));
    await writeFile(join(folder, `${slug}.txt`), label);
  }
  return folder;
}

/** A server of the demo's model, its page and an index of a style's drawings, and the folder of these. */
export async function serveDemo({
  run,
  style: name,
  port,
}: ServeOptions): Promise<RunningServer & { drawings: string }> {
  ensureArt(false);
  const text = await readFile(join(run, "vocabulary.json"), "utf8");
  const { pieces, contextLength } = JSON.parse(text) as { pieces: number[]; contextLength: number };
  const tokenizer = new Vocabulary(new ClipTokenizer(), pieces, contextLength);
  const model = await EvaClip.load(join(run, "checkpoints"), { tokenizer });
  const style = STYLES.find((known) => known.name === name)!;
  const drawings = await writeDrawings(style, resolve(run, "drawings", name));
  const path = join(run, "drawings", `${name}.safetensors`);
  await buildIndex(model, await openDataset(drawings), path, { root: drawings });
  const index = await openIndex(path);
  const handler = createHandler({ "emoji-demo": model }, { index, page: true });
  const server = await serve(handler, { port, logLevel: "warn" });
  const close = async () => {
    const isDrained = await server.close();
    await handler.dispose();
    await index.dispose();
    await model.dispose();
    return isDrained;
  };
  return { ...server, drawings, close, [Symbol.asyncDispose]: async () => void (await close()) };
}

async function main(): Promise<void> {
  const styles = STYLES.filter(({ optional }) => !optional).map((style) => style.name);
  const command = new Command("serve.ts")
    .description("Serve the model that `npm run demo` trained, with a page to classify and search drawings.")
    .option("--run <folder>", "folder of the demo's result", "runs/demo")
    .addOption(
      new Option("--style <name>", "drawings to search").choices(styles).default("fluent-emoji-flat"),
    )
    .option("--port <n>", "port to listen at", Number, 8080);
  const server = await serveDemo(command.parse().opts<ServeOptions>());
  console.log(`Open ${server.url}, and drop pictures from ${server.drawings} there. Ctrl+C ends it.`);
  process.once("SIGINT", () => server.close());
}

if (require.main === module) main();
