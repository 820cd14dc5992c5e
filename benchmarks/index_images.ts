// Indexes at least 5,000 real images, the drawings of the emoji demo and the photographs of gcompris, killing the command
// three times on the way, and compares the result with an index made in one go and with brute force. Needs npm and apt-get
// the first time.
//   npm run bench -- index_images [--model PATH] [--folder FOLDER] [--device cpu]
// Without --model, a small model with random weights. The images are kept in the folder; delete it by hand.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, extname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { DRAWING_BYTES, DRAWING_SIZE, loadDataSet } from "../examples/emoji/data_set";
import { EvaClip } from "../lib/index";
import { openIndex } from "../lib/search";
import config from "../scripts/package_consumer/small_model.json";
import { filesOfResource } from "./resource_file";

const CACHE = resolve(__dirname, "../runs/cache/emoji");
const CLI = resolve(__dirname, "../lib/cli/main.ts");
const WRITTEN_AT_ONCE = 64;
const KILLS = 3;
/** Queries whose neighbors are compared with brute force. */
const QUERIES = 50;
const COUNT = 10;

/** Writes the drawings on white, each with its name as caption. */
async function writeDrawings(folder: string): Promise<number> {
  const { concepts, drawings, pixels } = await loadDataSet(CACHE, false, ({ name }) =>
    console.error(`draws ${name}`),
  );
  const raw = { width: DRAWING_SIZE, height: DRAWING_SIZE, channels: 4 } as const;
  const write = async (i: number) => {
    const { concept, style } = drawings[i]!;
    const { hexcode, label } = concepts[concept]!;
    const path = join(folder, style, hexcode);
    await mkdir(dirname(path), { recursive: true });
    const drawing = pixels.subarray(i * DRAWING_BYTES, (i + 1) * DRAWING_BYTES);
    await sharp(drawing, { raw }).flatten({ background: "white" }).png().toFile(`${path}.png`);
    await writeFile(`${path}.txt`, label);
  };
  for (let start = 0; start < drawings.length; start += WRITTEN_AT_ONCE) {
    const count = Math.min(WRITTEN_AT_ONCE, drawings.length - start);
    await Promise.all(Array.from({ length: count }, (_, i) => write(start + i)));
  }
  return drawings.length;
}

function run(command: string, words: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(command, words, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: ${error?.message ?? stderr}`);
}

/** Writes the photographs of Debian's package gcompris-qt-data. */
async function writePhotographs(folder: string): Promise<number> {
  const work = await mkdtemp(join(tmpdir(), "gcompris-"));
  try {
    run("apt-get", ["download", "gcompris-qt-data"], work);
    const [archive] = await readdir(work);
    run("dpkg-deb", ["-x", archive!, "data"], work);
    const found = await readdir(join(work, "data"), { recursive: true });
    let count = 0;
    for (const path of found.filter((name) => name.endsWith(".rcc"))) {
      for (const [name, bytes] of filesOfResource(await readFile(join(work, "data", path)))) {
        if (!/\.(webp|jpe?g|png)$/i.test(name)) continue;
        const target = join(folder, basename(path, extname(path)), name.replaceAll("..", ""));
        await mkdir(dirname(target), { recursive: true });
        await writeFile(target, bytes);
        count++;
      }
    }
    return count;
  } finally {
    await rm(work, { recursive: true });
  }
}

/** Writes the images once. */
async function imagesIn(folder: string): Promise<string> {
  const images = join(folder, "images");
  const complete = join(folder, "images.json");
  if (existsSync(complete)) return images;
  const drawings = await writeDrawings(join(images, "drawings"));
  const photographs = await writePhotographs(join(images, "gcompris"));
  console.log(`${drawings} drawings, ${photographs} images of gcompris`);
  await writeFile(complete, JSON.stringify({ drawings, photographs }));
  return images;
}

function indexCommand(words: readonly string[]) {
  const tsNode = require.resolve("ts-node/register/transpile-only");
  const child = spawn(process.execPath, ["-C", "eva-clip-source", "-r", tsNode, CLI, "index", ...words], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.on("data", (text: Buffer) => {
    output += text.toString();
  });
  const ended = once(child, "exit").then(([status]) => ({ status: status as number | null, output }));
  return { child, ended };
}

const sizeOf = async (path: string) => (await stat(path).catch(() => ({ size: 0 }))).size;

/** Runs the command, and kills it when its journal has grown by this many bytes. @returns whether it was killed */
async function killAfter(words: readonly string[], journal: string, bytes: number): Promise<boolean> {
  const before = await sizeOf(journal);
  const { child, ended } = indexCommand(words);
  let isOver = false;
  ended.then(() => {
    isOver = true;
  });
  while (!isOver && (await sizeOf(journal)) < before + bytes) await delay(1);
  child.kill("SIGKILL");
  return (await ended).status === null;
}

async function recallOf(path: string): Promise<number> {
  await using index = await openIndex(path);
  const vectors: Float32Array[] = [];
  for await (const { vector } of index.vectors()) vectors.push(vector);
  const step = Math.floor(vectors.length / QUERIES);
  const queries = Array.from({ length: QUERIES }, (_, i) => vectors[i * step]!);
  const found = await index.nearest(queries, { count: COUNT });
  let hits = 0;
  for (const [q, query] of queries.entries()) {
    const ranked = vectors
      .map((vector, id) => ({ id, similarity: query.reduce((sum, value, i) => sum + value * vector[i]!, 0) }))
      .sort((a, b) => b.similarity - a.similarity);
    // Equal images have equal vectors: any of those that tie with the last one is right.
    const least = ranked[COUNT - 1]!.similarity - 1e-6;
    const right = new Set(ranked.filter(({ similarity }) => similarity >= least).map(({ id }) => id));
    hits += found[q]!.filter(({ id }) => right.has(id)).length;
  }
  return hits / (QUERIES * COUNT);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: "string" },
      folder: { type: "string", default: join(tmpdir(), "eva-clip-index-images") },
      device: { type: "string", default: "cpu" },
    },
  });
  const { folder, device } = values;
  await mkdir(folder, { recursive: true });
  const images = await imagesIn(folder);
  const model = values.model ?? join(folder, "model");
  if (values.model === undefined && !existsSync(model)) {
    await using small = await EvaClip.create(config, { device: "cpu" });
    await small.save(model);
  }
  const [killed, whole] = [join(folder, "killed.safetensors"), join(folder, "whole.safetensors")];
  for (const path of [killed, whole]) await rm(path, { force: true });
  await rm(`${killed}.journal`, { force: true });
  const words = (out: string) => [model, images, "--out", out, "--device", device, "--json"];
  const start = performance.now();
  const inOneGo = await indexCommand(words(whole)).ended;
  const seconds = (performance.now() - start) / 1e3;
  console.log(inOneGo.output.trim());
  const share = (await sizeOf(whole)) / (KILLS + 2);
  let kills = 0;
  for (let i = 0; i < KILLS; i++) if (await killAfter(words(killed), `${killed}.journal`, share)) kills++;
  const last = await indexCommand(words(killed)).ended;
  console.log(last.output.trim());
  const { size } = JSON.parse(inOneGo.output) as { size: number };
  const same = (await readFile(killed)).equals(await readFile(whole));
  console.log(JSON.stringify({ images: size, seconds, kills, same, recall: await recallOf(killed) }));
  process.exitCode = same && size >= 5000 ? 0 : 1;
}

main();
