// Loads a model file in a process of its own and embeds one image and one caption: seconds, and peak resident memory
// relative to the bytes of the loaded weights. The file has random weights and is written once; delete it by hand.
//   npm run bench -- load_model [--model EVA02-CLIP-L-14] [--stored BF16,F32] [--dtype f32,bf16] [--folder …] [--json]
// EVA02-CLIP-bigE-14-plus needs 10 GB on the disk and, as bf16, 12 GB of memory.
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { availableProcessors } from "../lib/container_limits";
import { CounterRandom } from "../lib/random";
import { type TensorToWrite, writeSafetensors } from "../lib/io/safetensors";
import type { FloatDtype } from "../lib/io/tensor_source";
import { ClipModel } from "../lib/models/clip_model";
import { modelConfig } from "../lib/models/known_models";
import type { Parameter } from "../lib/parameter";
import { EvaClip } from "../lib/clip/eva_clip";
import type { Precision } from "../lib/models/precision";
import { peakBytes, resetPeakBytes } from "./resident_memory";

interface Measurement {
  loadSeconds: number;
  /** Of a second load after the first model was disposed: in a virtual machine, the first load may mostly wait for memory
   * from the host. */
  againSeconds: number;
  imageSeconds: number;
  textSeconds: number;
  /** Of the weights on the device. */
  modelBytes: number;
  /** Resident before the load: Node and this benchmark's TypeScript compiler. */
  bytesBefore: number;
  peakBytesOfLoad: number;
  peakBytes: number;
}

/** A pool of random values, repeated to fill each tensor. */
const RESERVE = 1 << 20;

/** The weights of a parameter: its initial constant, or random values with its initial standard deviation. */
function weightsOf({ initial, size }: Parameter, reserve: Float32Array): Float32Array {
  const values = new Float32Array(size);
  if (initial.kind === "constant") return values.fill(initial.value);
  const { std, mean = 0 } = initial;
  const scaled = reserve.map((deviate) => mean + std * deviate);
  for (let i = 0; i < size; i += RESERVE) values.set(scaled.subarray(0, Math.min(RESERVE, size - i)), i);
  return values;
}

async function writeModel(path: string, model: string, stored: FloatDtype): Promise<void> {
  const random = new CounterRandom(1);
  // Uniform, unit variance.
  const reserve = Float32Array.from({ length: RESERVE }, () => (random.uniform() - 0.5) * Math.sqrt(12));
  const parameters = new ClipModel(modelConfig(model)).parameters();
  const tensors = parameters.map((parameter): TensorToWrite => {
    const { name, shape } = parameter;
    return { name, shape, dtype: stored, from: "F32", data: () => weightsOf(parameter, reserve) };
  });
  await writeSafetensors(path, tensors);
}

async function seconds<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  return [await work(), (performance.now() - start) / 1e3];
}

/** The measurement, in the child process. */
async function measure(path: string, model: string, dtype: Precision, threads: number): Promise<Measurement> {
  const bytesBefore = resetPeakBytes();
  const options = { config: model, dtype, threads, device: "cpu" } as const;
  const [clip, loadSeconds] = await seconds(() => EvaClip.load(path, options));
  const peakBytesOfLoad = peakBytes();
  const side = clip.imageSize;
  const pixels = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 31) % 256);
  const [image, imageSeconds] = await seconds(() => clip.encodePixels(pixels, 1));
  const [text, textSeconds] = await seconds(() => clip.encodeText("a photo of a cat"));
  for (const value of [...image, ...text])
    if (!Number.isFinite(value)) throw new Error("an embedding is not finite");
  const { parameterBytes: modelBytes } = await clip.memoryInfo();
  const peakBytesOfAll = peakBytes();
  await clip.dispose();
  const [second, againSeconds] = await seconds(() => EvaClip.load(path, options));
  await second.dispose();
  return {
    loadSeconds,
    againSeconds,
    imageSeconds,
    textSeconds,
    modelBytes,
    bytesBefore,
    peakBytesOfLoad,
    peakBytes: peakBytesOfAll,
  };
}

function measureInChild(...args: [string, string, string, string]): Promise<Measurement> {
  return new Promise((resolve, reject) => {
    const child = fork(__filename, ["--child", ...args], {
      execArgv: ["--require", "ts-node/register/transpile-only"],
    });
    child.once("message", (result) => resolve(result as Measurement));
    child.once("exit", (code) => reject(new Error(`the measuring process ended with ${code}`)));
  });
}

function report(name: string, result: Measurement): string {
  const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  const ratio = (bytes: number) => ((bytes - result.bytesBefore) / result.modelBytes).toFixed(2);
  const { modelBytes, bytesBefore, peakBytesOfLoad, peakBytes } = result;
  return [
    `${name}: ${megabytes(modelBytes)} of weights`,
    `  load   ${result.loadSeconds.toFixed(2)} s, again ${result.againSeconds.toFixed(2)} s, peak ${megabytes(peakBytesOfLoad)}: ` +
      `${megabytes(bytesBefore)} before, then ${ratio(peakBytesOfLoad)} x the weights`,
    `  embed  image ${result.imageSeconds.toFixed(2)} s, caption ${result.textSeconds.toFixed(2)} s, ` +
      `peak ${megabytes(peakBytes)}: ${ratio(peakBytes)} x the weights`,
  ].join("\n");
}

async function main(): Promise<void> {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      child: { type: "boolean", default: false },
      model: { type: "string", default: "EVA02-CLIP-L-14" },
      stored: { type: "string", default: "BF16" },
      dtype: { type: "string", default: "f32,bf16" },
      folder: { type: "string", default: tmpdir() },
      threads: { type: "string", default: String(availableProcessors()) },
      json: { type: "boolean", default: false },
    },
  });
  if (options.child) {
    const [path, model, dtype, threads] = positionals as [string, string, Precision, string];
    process.send!(await measure(path, model, dtype, Number(threads)), () => process.disconnect());
    return;
  }
  for (const model of options.model.split(",")) {
    for (const stored of options.stored.split(",")) {
      const path = join(options.folder, `load_model_${model}_${stored}.safetensors`);
      if (!existsSync(path)) {
        const [, took] = await seconds(() => writeModel(path, model, stored as FloatDtype));
        console.error(`wrote ${path} in ${took.toFixed(1)} s`);
      }
      for (const dtype of options.dtype.split(",")) {
        const result = await measureInChild(path, model, dtype, options.threads);
        const name = `${model} stored as ${stored}, loaded as ${dtype}`;
        console.log(options.json ? JSON.stringify({ name, ...result }) : report(name, result));
      }
    }
  }
}

void main();
