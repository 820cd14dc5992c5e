// Concurrent callers of single images and captions through the batcher, and a stream, against the model's own calls with
// lists, which are the fastest way in: the forms alternate, with the same files to decode, and medians are compared.
//   npm run bench -- batching [--model EVA02-CLIP-B-16] [--device cpu] [--precision f32] [--callers 64] [--images 128]
//     [--texts 128] [--rounds 5] [--json]
// Weights are random. A batcher should reach 90 % of the model's own throughput, with an event-loop delay p99 below 20 ms.
import { performance, monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import sharp from "sharp";
import type { ConfigSource } from "../lib/weights/config/resolve_config";
import { EvaClip } from "../lib/clip/eva_clip";
import type { Precision } from "../lib/models/precision";
import { CounterRandom } from "../lib/random";
import { Batcher } from "../lib/serve/batcher";
import { median } from "./comparison";

const SIDES = [
  [640, 480],
  [480, 640],
  [800, 533],
] as const;

interface Samples {
  readonly images: readonly Uint8Array[];
  readonly captions: readonly string[];
}

/** What a run of one form takes: `latencies` of its calls, where they are single samples. */
interface Run {
  readonly seconds: number;
  readonly delayP99: number;
  readonly latencies: readonly number[];
}

/** JPEG files of smooth random colors, about as large as photographs of their size. */
async function pictures(count: number): Promise<Uint8Array[]> {
  const files: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const [width, height] = SIDES[i % SIDES.length]!;
    const random = new CounterRandom(1, i);
    const coarse = Uint8Array.from({ length: 64 * 48 * 3 }, () => random.below(256));
    const image = sharp(coarse, { raw: { width: 64, height: 48, channels: 3 } });
    files.push(await image.resize(width, height, { fit: "fill" }).jpeg({ quality: 85 }).toBuffer());
  }
  return files;
}

const caption = (i: number) => `a photograph number ${i} of ${"something red and small ".repeat(i % 4)}`;

/** Images and captions in turn, as far as there are both. */
function mixed({ images, captions }: Samples): (Uint8Array | string)[] {
  const longest = Math.max(images.length, captions.length);
  return Array.from({ length: longest }, (_, i) => [images[i], captions[i]])
    .flat()
    .filter((sample) => sample !== undefined);
}

type Form = (samples: Samples, latencies: number[]) => Promise<void>;

function formsOf(model: EvaClip, batcher: Batcher, callers: number): Record<string, Form> {
  return {
    lists: async ({ images, captions }) => {
      await model.encodeImage(images);
      await model.encodeText(captions);
    },
    [`batcher, ${callers} callers`]: async (samples, latencies) => {
      const queue = mixed(samples).values();
      const call = async () => {
        for (const sample of queue) {
          const begin = performance.now();
          await (typeof sample === "string" ? batcher.encodeText(sample) : batcher.encodeImage(sample));
          latencies.push(performance.now() - begin);
        }
      };
      await Promise.all(Array.from({ length: callers }, call));
    },
    streams: async ({ images, captions }) => {
      for await (const _ of model.encodeImages(images));
      for await (const _ of model.encodeTexts(captions));
    },
  };
}

async function measure(form: Form, samples: Samples): Promise<Run> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const latencies: number[] = [];
  delay.enable();
  const begin = performance.now();
  await form(samples, latencies);
  const seconds = (performance.now() - begin) / 1e3;
  delay.disable();
  return { seconds, delayP99: delay.percentile(99) / 1e6, latencies };
}

const percentile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))];

function print(form: string, runs: readonly Run[], own: number, count: number, json: boolean): void {
  const seconds = median(runs.map((run) => run.seconds));
  const latencies = runs.flatMap((run) => run.latencies);
  const row = {
    form,
    samplesPerSecond: count / seconds,
    shareOfLists: own / seconds,
    eventLoopDelayP99Ms: median(runs.map(({ delayP99 }) => delayP99)),
    ...(latencies.length > 0 && {
      latencyP50Ms: percentile(latencies, 0.5),
      latencyP99Ms: percentile(latencies, 0.99),
    }),
  };
  if (json) return console.log(JSON.stringify(row));
  const latency =
    latencies.length === 0
      ? ""
      : `   latency ${row.latencyP50Ms!.toFixed(0)} ms, p99 ${row.latencyP99Ms!.toFixed(0)} ms`;
  console.log(
    `${form.padEnd(20)} ${row.samplesPerSecond.toFixed(1).padStart(9)} samples/s ${(100 * row.shareOfLists).toFixed(1).padStart(6)} %` +
      `   event loop p99 ${row.eventLoopDelayP99Ms.toFixed(1)} ms${latency}`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "EVA02-CLIP-B-16" },
      device: { type: "string", default: "cpu" },
      precision: { type: "string", default: "f32" },
      callers: { type: "string", default: "64" },
      images: { type: "string", default: "128" },
      texts: { type: "string", default: "128" },
      rounds: { type: "string", default: "5" },
      json: { type: "boolean", default: false },
    },
  });
  const model = await EvaClip.create(values.model as ConfigSource, {
    device: values.device as "cpu",
    precision: values.precision as Precision,
  });
  const sizes: string[] = [];
  const batcher = new Batcher(model, { onBatch: ({ kind, size }) => sizes.push(`${kind} ${size}`) });
  const samples = {
    images: await pictures(Number(values.images)),
    captions: Array.from({ length: Number(values.texts) }, (_, i) => caption(i)),
  };
  const forms = formsOf(model, batcher, Number(values.callers));
  // Compiles the programs.
  for (const form of Object.values(forms)) await form(samples, []);
  sizes.length = 0;
  const runs = new Map<string, Run[]>(Object.keys(forms).map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, form] of Object.entries(forms)) runs.get(name)!.push(await measure(form, samples));
  }
  const own = median(runs.get("lists")!.map(({ seconds }) => seconds));
  const count = samples.images.length + samples.captions.length;
  for (const [name, all] of runs) print(name, all, own, count, values.json);
  if (!values.json) {
    const counts = new Map<string, number>();
    for (const size of sizes) counts.set(size, (counts.get(size) ?? 0) + 1);
    console.log(`batches: ${[...counts].map(([size, times]) => `${times} × ${size}`).join(", ")}`);
  }
  await batcher.dispose();
  await model.dispose();
}

void main();
