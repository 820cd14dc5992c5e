// Whole models on a GPU: the training step (forward, backward, LAMB; 50 % patch dropout, packed text) over batch sizes,
// embedding throughput, and latency at batch 1. `ms` is of the program on the device, between events around its graph;
// `ms_call` of a whole call by the clock, with the upload of the pixels as bytes.
//   npm run bench -- gpu_models [--part train,embed] [--model EVA02-CLIP-B-16,…] [--batches 512,1024,…] [--json]
import { parseArgs } from "node:util";
import { modelConfig as demoConfig } from "../examples/emoji/recipe";
import { type ClipConfig, Device, modelConfig, parseClipConfig } from "eva-clip";
import { packText } from "eva-clip/data";
import { compile, type Program, spec } from "eva-clip/graph";
import { ClipModel, Lamb, parameterRules } from "eva-clip/train";
import { CounterRandom } from "../lib/random";
import { initializeModel } from "../lib/weights/initialize";
import { TrainingStep } from "../lib/train/training_step";
import { captionLengths } from "./captions";
import { median } from "./comparison";

const options = parseArgs({
  options: {
    part: { type: "string", default: "train,embed" },
    model: { type: "string", default: "EVA02-CLIP-B-16,EVA02-CLIP-L-14" },
    batches: { type: "string", default: "256,512,1024,1536,2048" },
    device: { type: "string", default: "cuda" },
    /** The demo's small model and tiny batches, to test this program. */
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
}).values;
const batches = options.smoke ? [4] : options.batches.split(",").map(Number);
type Timed = Pick<Program, "startProfile" | "profile">;
const [WARM_UPS, RUNS] = options.smoke ? [3, 2] : [5, 15];

function report(row: Record<string, string | number | undefined>): void {
  const line = { who: "eva-clip", ...row };
  console.log(options.json ? JSON.stringify(line) : Object.values(line).join("  "));
}

interface Times {
  ms: number;
  ms_call: number;
}

/** Median milliseconds of a call by the clock, and the mean of its programs between device events. */
async function time(
  call: () => Promise<unknown>,
  programs: () => Promise<readonly Timed[]> | readonly Timed[],
): Promise<Times> {
  const taken: number[] = [];
  for (let i = 0; i < WARM_UPS + RUNS; i++) {
    const start = performance.now();
    await call();
    if (i >= WARM_UPS) taken.push(performance.now() - start);
  }
  const all = await programs();
  for (const program of all) await program.startProfile("program");
  for (let i = 0; i < RUNS; i++) await call();
  const timings = (await Promise.all(all.map((program) => program.profile()))).flat();
  const seconds = timings.reduce((sum, timing) => sum + timing.seconds, 0);
  return { ms: (1e3 * seconds) / RUNS, ms_call: median(taken) };
}

/** A latency is that of the whole call. */
const rates = (times: Times, batch: number) => ({
  ...times,
  ...(batch === 1
    ? { latency_ms: times.ms_call }
    : { samples_per_s: (1e3 * batch) / times.ms, samples_per_s_call: (1e3 * batch) / times.ms_call }),
});

function captions(count: number, { text_cfg: text }: ClipConfig): Int32Array[] {
  const random = new CounterRandom(1);
  return captionLengths(count, text.context_length).map((length) =>
    Int32Array.from({ length }, (_, i) =>
      i === length - 1 ? text.vocab_size - 1 : random.below(text.vocab_size - 2),
    ),
  );
}

function pixels(count: number, side: number): Uint8Array {
  const random = new CounterRandom(2);
  const one = Uint8Array.from({ length: side * side * 3 }, () => random.below(256));
  const all = new Uint8Array(count * one.length);
  for (let i = 0; i < count; i++) all.set(one, i * one.length);
  return all;
}

async function training(device: Device, name: string, model: ClipModel, batch: number): Promise<void> {
  const group = { learningRate: 1e-4, weightDecay: 0.05 };
  const rules = parameterRules(model.parameters(), { image: group, text: group, other: group });
  const optimizer = new Lamb(rules, { clipNorm: 1 });
  await optimizer.allocate(device);
  const step = new TrainingStep({ device, model, optimizer });
  const text = packText(captions(batch, model.config), 1024);
  const data = { images: pixels(batch, model.image.imageSize), size: batch, ...text };
  const learningRates = optimizer.learningRatesAt(1);
  let count = 0;
  try {
    const run = () => step.run(data, { step: count++, learningRates, seed: 0, patchDropout: 0.5 });
    const times = await time(run, () => step.programs());
    report({ part: "train", model: name, prec: "bf16", B: batch, ...rates(times, batch) });
  } finally {
    step.dispose();
    optimizer.dispose();
  }
}

async function embedding(device: Device, name: string, model: ClipModel, batch: number): Promise<void> {
  const side = model.image.imageSize;
  const images = spec("u8", [batch, side, side, 3]);
  const image = await compile(device, { images }, (x) => ({ embedding: model.image.encode(x.images) }));
  const data = { images: pixels(batch, side) };
  const imageTimes = await time(
    () => image(data),
    () => [image],
  );
  image.dispose();
  report({ part: "embed", name: "image", model: name, B: batch, ...rates(imageTimes, batch) });

  const packed = packText(captions(batch, model.config), batch === 1 ? 16 : 1024);
  const lengths = Object.entries(packed).map(([key, values]) => [key, spec("i32", [values.length])] as const);
  const specs = Object.fromEntries(lengths) as Record<
    "tokens" | "cuSeqlens" | "textEnds",
    ReturnType<typeof spec<"i32">>
  >;
  const text = await compile(device, specs, (x) => ({ embedding: model.text.encode(x) }));
  const textTimes = await time(
    () => text({ ...packed }),
    () => [text],
  );
  text.dispose();
  report({ part: "embed", name: "text", model: name, B: batch, ...rates(textTimes, batch) });
}

async function main(): Promise<void> {
  await using device = await Device.open(options.device as "cpu" | "cuda");
  const names = options.smoke ? ["demo"] : options.model.split(",");
  for (const name of names) {
    const config = options.smoke ? parseClipConfig(demoConfig(4096)) : modelConfig(name);
    const model = new ClipModel(config, { precision: "bf16" });
    await initializeModel(model, device, { seed: 1 });
    const attempts = batches.flatMap((batch) => [
      { part: "train", batch, run: () => training(device, name, model, batch) },
      { part: "embed", batch, run: () => embedding(device, name, model, batch) },
    ]);
    attempts.push({ part: "embed", batch: 1, run: () => embedding(device, name, model, 1) });
    for (const { part, batch, run } of attempts) {
      if (!options.part.split(",").includes(part)) continue;
      try {
        await run();
      } catch (error) {
        report({ part, model: name, B: batch, error: (error as Error).message });
      }
    }
    model.dispose();
  }
}

void main();
