// 64 clients use one model at once; every value must be the one that a single call gives.
// node -C eva-clip-source -r ts-node/register/transpile-only test/abuse/soak.ts [SECONDS=60] prints one line and exits with 0 or 1.
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { EvaClip } from "eva-clip";
import { CounterRandom } from "../../lib/random";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";
import { describeEnding, expectThat, runProgram, type Scenario, typeScript } from "./scenario";

const CLIENTS = 64;
const TOLERANCE = 1e-6;
const PIXELS = 3 * 16 * 16;
const WORDS = Array.from({ length: 40 }, (_, i) => `word ${i} ${"xyz".repeat(i % 3)}`);
const PICTURES = ["image_rgb_tall.png", "image_gray.png", "image_rgb_wide.png", "image_upscale.png"].map(
  (name) => join(__dirname, "..", "fixtures", name),
);

/** What single calls gave, before there were others. */
interface Expected {
  readonly texts: readonly Float32Array[];
  readonly images: readonly Float32Array[];
  readonly pixels: readonly Float32Array[];
}

class Tally {
  calls = 0;
  vectors = 0;
  aborted = 0;
  deviation = 0;

  compare(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
    this.vectors++;
    if (actual.length !== expected.length)
      throw new Error(`${actual.length} numbers, not ${expected.length}`);
    for (let i = 0; i < actual.length; i++) {
      const difference = Math.abs(actual[i]! - expected[i]!);
      if (!(difference <= TOLERANCE)) throw new Error(`${actual[i]} where a single call gave ${expected[i]}`);
      this.deviation = Math.max(this.deviation, difference);
    }
  }
}

const pixelsOf = (i: number) => Uint8Array.from({ length: PIXELS }, (_, at) => (at * (i + 3)) % 251);
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

async function singly(model: EvaClip): Promise<Expected> {
  const each = async <T>(inputs: readonly T[], encode: (input: T) => Promise<Float32Array>) => {
    const rows: Float32Array[] = [];
    for (const input of inputs) rows.push(await encode(input));
    return rows;
  };
  return {
    texts: await each(WORDS, (caption) => model.encodeText(caption)),
    images: await each(PICTURES, (picture) => model.encodeImage(picture)),
    pixels: await each([0, 1, 2, 3], (i) => model.encodePixels(pixelsOf(i), 1)),
  };
}

/** One random call, compared. */
async function callOnce(
  model: EvaClip,
  expected: Expected,
  random: CounterRandom,
  tally: Tally,
): Promise<void> {
  const some = (below: number) => Array.from({ length: 1 + random.below(12) }, () => random.below(below));
  const kind = random.below(6);
  if (kind === 0) {
    const chosen = some(WORDS.length);
    const captions = chosen.map((i) => WORDS[i]!);
    const call = model.encodeText(captions, { batchSize: 1 + random.below(8) });
    captions.fill("changed");
    (await call).forEach((row, i) => tally.compare(row, expected.texts[chosen[i]!]!));
  } else if (kind === 1) {
    const chosen = some(PICTURES.length);
    const rows = await model.encodeImage(chosen.map((i) => PICTURES[i]!));
    rows.forEach((row, i) => tally.compare(row, expected.images[chosen[i]!]!));
  } else if (kind === 2) {
    const chosen = some(expected.pixels.length);
    const pixels = new Uint8Array(chosen.length * PIXELS);
    chosen.forEach((i, at) => pixels.set(pixelsOf(i), at * PIXELS));
    const call = model.encodePixels(pixels, chosen.length);
    pixels.fill(0);
    const rows = await call;
    chosen.forEach((i, at) => tally.compare(rows.subarray(at * 16, (at + 1) * 16), expected.pixels[i]!));
  } else if (kind === 3) {
    const [a, b] = [random.below(WORDS.length), random.below(PICTURES.length)];
    const [text, image] = [expected.texts[a]!, expected.images[b]!];
    tally.compare([await model.similarity(text, image)], [dot(text, image)]);
  } else if (kind === 4) {
    const picture = random.below(PICTURES.length);
    const found = await model.classify(PICTURES[picture]!, WORDS, { templates: ["{}"], topK: 3 });
    for (const { label, similarity } of found) {
      tally.compare([similarity], [dot(expected.texts[WORDS.indexOf(label)]!, expected.images[picture]!)]);
    }
  } else {
    const controller = new AbortController();
    const call = model.encodeText(WORDS, { batchSize: 1, signal: controller.signal });
    controller.abort();
    await call.then(
      () => Promise.reject(new Error("an aborted call resolved")),
      (error) => (error === controller.signal.reason ? tally.aborted++ : Promise.reject(error)),
    );
  }
  tally.calls++;
}

async function soak(seconds: number): Promise<string> {
  const model = await EvaClip.create(tinyConfig, {
    device: "cpu",
    tokenizer: tinyTokenizer,
    init: "fan_in",
    seed: 3,
  });
  const expected = await singly(model);
  const tally = new Tally();
  const end = performance.now() + 1000 * seconds;
  let failure: unknown;
  const client = async (number: number) => {
    const random = new CounterRandom(1, number);
    while (performance.now() < end && failure === undefined) {
      await callOnce(model, expected, random, tally).catch((error: unknown) => {
        failure ??= error;
      });
      await setImmediate();
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, number) => client(number));
  await Promise.all(clients);
  await model.dispose();
  if (failure !== undefined) throw failure;
  const { calls, vectors, aborted, deviation } = tally;
  return `soak: ${CLIENTS} clients, ${seconds} s, ${calls} calls (${aborted} aborted), ${vectors} vectors, largest deviation ${deviation.toExponential(1)}`;
}

export const clients: Scenario = {
  name: "64 clients",
  async run(amount) {
    const seconds = amount === "full" ? 60 : 5;
    const words = [...typeScript, __filename, String(seconds)];
    const ending = await runProgram(words, { limitMs: 1000 * seconds + 60_000 });
    expectThat(ending.code === 0, () => `${ending.out} ${describeEnding(ending)}`);
    return ending.out.trim();
  },
};

if (require.main === module) {
  soak(Number(process.argv[2] ?? 60)).then(
    (line) => console.log(line),
    (error: unknown) => {
      console.log(`soak: failed: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
    },
  );
}
