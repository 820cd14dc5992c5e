// Resizes decoded images to a shorter side of 224 pixels (bicubic, antialiased), alternately by eva-clip, sharp (libvips) and
// Pillow, each on one thread: medians.
//   npm run bench -- resize [--sizes 4000x3000,1600x1200] [--rounds 15] [--json]
// EVA_CLIP_PEER_PYTHON names a Python with Pillow. `--json` prints a line per row.
import { parseArgs } from "node:util";
import sharp from "sharp";
import { centerCrop } from "../lib/image/crop";
import { resample } from "../lib/image/resample";
import { compare, printRows, secondsOf } from "./comparison";
import { Peer } from "./peer";

const SIDE = 224;
/** The last two are enlarged. */
const SIZES = "4000x3000,1600x1200,640x480,256x256,100x75,32x32";
/** Resizes in a row of one variant; the fastest counts. */
const REPEATS = 5;

interface Task {
  readonly pixels: Uint8Array; // [height, width, 3]
  readonly width: number;
  readonly height: number;
  readonly targetWidth: number;
  readonly targetHeight: number;
}

function taskOf(size: string): Task {
  const [width, height] = size.split("x").map(Number) as [number, number];
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = Math.imul(i + 1, 2_654_435_769) >>> 24;
  const plan = centerCrop(width, height, SIDE);
  return { pixels, width, height, targetWidth: plan.width, targetHeight: plan.height };
}

async function byUs({ pixels, width, height, targetWidth, targetHeight }: Task): Promise<void> {
  const plan = {
    ...{ before: { left: 0, top: 0, width, height }, width: targetWidth, height: targetHeight },
    after: { left: 0, top: 0, width: targetWidth, height: targetHeight },
  };
  const decode = async ({ top, height: rows }: { top: number; height: number }) =>
    pixels.subarray(top * width * 3, (top + rows) * width * 3);
  await resample({ decode }, plan, "bicubic");
}

async function bySharp({ pixels, width, height, targetWidth, targetHeight }: Task): Promise<void> {
  await sharp(pixels, { raw: { width, height, channels: 3 } })
    .resize(targetWidth, targetHeight, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer();
}

/** The least seconds of a few runs. */
async function fastest(run: () => Promise<number>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) least = Math.min(least, await run());
  return least;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sizes: { type: "string", default: SIZES },
      rounds: { type: "string", default: "15" },
      json: { type: "boolean", default: false },
    },
  });
  sharp.concurrency(1);
  const started = await Peer.start("resize.py", []).catch((error: Error) => {
    console.error(`no peer: ${error.message}`);
    return undefined;
  });
  for (const size of values.sizes.split(",")) {
    const task = taskOf(size);
    const { width, height, targetWidth, targetHeight } = task;
    const line = `${width} ${height} ${targetWidth} ${targetHeight}`;
    const variants = new Map([
      ["eva-clip", () => secondsOf(() => byUs(task))],
      ["sharp (libvips)", () => secondsOf(() => bySharp(task))],
      ...(started === undefined ? [] : ([[started.version, () => started.peer.step(line)]] as const)),
    ]);
    const seconds = new Map([...variants.keys()].map((name) => [name, [] as number[]]));
    for (let round = 0; round < Number(values.rounds); round++)
      for (const [name, run] of variants) seconds.get(name)!.push(await fastest(run));
    const facts = {
      case: `${size} to ${targetWidth}x${targetHeight}`,
      torch: undefined,
      threads: 1,
      batch: 1,
    };
    printRows(compare(seconds, facts), values.json);
  }
  started?.peer.stop();
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
