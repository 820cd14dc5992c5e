import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Device } from "eva-clip";
import { type DataSet, DRAWING_BYTES, DRAWING_SIZE } from "./data_set";
import { dotProducts } from "./similarity";
import type { Split } from "./split";
import { replaceFile } from "./write_file";

/** Fractions of test images whose concept is that of the nearest training drawing, or among the five nearest concepts. */
export interface PixelBaseline {
  top1: number;
  top5: number;
  /** The same for test concepts seen in training in other styles; the baseline cannot predict any other. */
  seenTop1: number;
  seenTop5: number;
}

/** Side of the reduced drawings, in pixels. */
const REDUCED = 16;
const BLOCK = DRAWING_SIZE / REDUCED;
const WIDTH = REDUCED * REDUCED * 3;
const WHITE = 255;

/**
 * Nearest neighbor by pixels: every test drawing gets the name of the most similar training drawing (cosine of 16 x 16 RGB
 * on white, training mean subtracted). No learning, and no captions.
 */
export async function pixelBaseline(device: Device, data: DataSet, split: Split): Promise<PixelBaseline> {
  const known = split.train.flatMap(({ concept, drawings }) =>
    drawings.map((drawing) => ({ concept, drawing })),
  );
  const train = reducedPixels(
    data,
    known.map(({ drawing }) => drawing),
  );
  const test = reducedPixels(
    data,
    split.test.map(({ drawing }) => drawing),
  );
  const mean = meanRow(train);
  normalizeRows(train, mean);
  normalizeRows(test, mean);
  const scores = await dotProducts(device, test, train, WIDTH);
  const ranks = split.test.map(({ concept }, i) =>
    rankOfConcept(scores.subarray(i * known.length, (i + 1) * known.length), known, concept),
  );
  const seen = ranks.filter((_, i) => !split.test[i]!.unseen);
  return {
    top1: fractionWithin(ranks, 1),
    top5: fractionWithin(ranks, 5),
    seenTop1: fractionWithin(seen, 1),
    seenTop5: fractionWithin(seen, 5),
  };
}

/** The same, cached in a file of `cacheFolder` whose name identifies the data and the split. */
export async function cachedPixelBaseline(
  device: Device,
  data: DataSet,
  split: Split,
  cacheFolder: string,
): Promise<PixelBaseline> {
  const key = createHash("sha256")
    .update(JSON.stringify([data.version, split, REDUCED]))
    .digest("hex");
  const file = join(cacheFolder, `pixel_baseline-${split.style}-${key.slice(0, 12)}.json`);
  try {
    return JSON.parse(await readFile(file, "utf8")) as PixelBaseline;
  } catch {
    const baseline = await pixelBaseline(device, data, split);
    await replaceFile(file, JSON.stringify(baseline));
    return baseline;
  }
}

/** f32 [drawings, 16 · 16 · 3]: block means of the drawings on white, in 0..255. */
function reducedPixels(data: DataSet, drawings: readonly number[]): Float32Array {
  const rows = new Float32Array(drawings.length * WIDTH);
  drawings.forEach((drawing, row) => {
    const source = drawing * DRAWING_BYTES;
    const target = row * WIDTH;
    for (let pixel = 0; pixel < DRAWING_SIZE * DRAWING_SIZE; pixel++) {
      const y = Math.floor(pixel / DRAWING_SIZE / BLOCK);
      const x = Math.floor((pixel % DRAWING_SIZE) / BLOCK);
      const cell = target + (y * REDUCED + x) * 3;
      const alpha = data.pixels[source + pixel * 4 + 3]! / 255;
      for (let c = 0; c < 3; c++) {
        rows[cell + c]! +=
          (data.pixels[source + pixel * 4 + c]! * alpha + WHITE * (1 - alpha)) / (BLOCK * BLOCK);
      }
    }
  });
  return rows;
}

function meanRow(rows: Float32Array): Float32Array {
  const sums = new Float64Array(WIDTH);
  for (let i = 0; i < rows.length; i++) sums[i % WIDTH]! += rows[i]!;
  return Float32Array.from(sums, (sum) => (sum * WIDTH) / rows.length);
}

/** Subtracts `mean` from every row and scales the row to length 1, in place. */
function normalizeRows(rows: Float32Array, mean: Float32Array): void {
  for (let start = 0; start < rows.length; start += WIDTH) {
    let squares = 0;
    for (let k = 0; k < WIDTH; k++) {
      rows[start + k]! -= mean[k]!;
      squares += rows[start + k]! ** 2;
    }
    const scale = 1 / Math.max(Math.sqrt(squares), Number.EPSILON);
    for (let k = 0; k < WIDTH; k++) rows[start + k]! *= scale;
  }
}

/** The number of other concepts with a drawing nearer than every drawing of `concept`. */
function rankOfConcept(scores: Float32Array, known: readonly { concept: number }[], concept: number): number {
  let own = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < known.length; i++) if (known[i]!.concept === concept) own = Math.max(own, scores[i]!);
  const nearer = new Set<number>();
  for (let i = 0; i < known.length; i++) if (scores[i]! > own) nearer.add(known[i]!.concept);
  // A concept without a training drawing can never be predicted.
  return own === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : nearer.size;
}

function fractionWithin(ranks: readonly number[], count: number): number {
  return ranks.filter((rank) => rank < count).length / ranks.length;
}
