// Ends this process in a given way while its device is busy with a given task. The expected exit status is 7.
//   node end_while_busy.js WAY MOMENT [MILLISECONDS] [DEVICE]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { compile, spec } from "../../lib/compile";
import { Device, type DeviceChoice } from "../../lib/device";
import type { EvaClipError } from "../../lib/errors";
import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { Parameter } from "../../lib/parameter";
import { EvaClip } from "../../lib/clip/eva_clip";
import { Batcher } from "../../lib/serve/batcher";
import { batchesByStep } from "../../lib/train/batch_source";
import { train } from "../../lib/train/train";
import { initializeModel } from "../../lib/weights/initialize";
import { tinyBatch, tinyConfig, tinyTokenizer, tinyTraining } from "./tiny_clip";
import { testDevice } from "./test_device";

const [way = "exit", moment = "run", after = "60", kind = testDevice]: string[] =
  workerData ?? process.argv.slice(2);
const IMAGE = 64;

/** A model whose steps take about ten milliseconds. */
async function allocated(device: Device): Promise<ClipModel> {
  const { text_cfg, ...config } = tinyConfig;
  const vision_cfg = { ...config.vision_cfg, image_size: IMAGE, width: 128, head_width: 32, layers: 4 };
  const model = new ClipModel(parseClipConfig({ ...config, vision_cfg, text_cfg }), { init: "fan_in" });
  await initializeModel(model, device, { seed: 1 });
  return model;
}

function imageProgram(device: Device, model: ClipModel, batch: number) {
  return compile(device, { images: spec("u8", [batch, IMAGE, IMAGE, 3]) }, ({ images }) => ({
    y: model.image.features(images),
  }));
}

const pixels = () => new Uint8Array(8 * IMAGE * IMAGE * 3);

/** The same as an EvaClip, saved to a temporary folder. */
async function savedModel(device: Device): Promise<{ model: EvaClip; folder: string }> {
  const model = new EvaClip(await allocated(device), device, { tokenizer: tinyTokenizer });
  const folder = mkdtempSync(join(tmpdir(), "eva-clip-busy-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  await model.save(folder);
  return { model, folder };
}

/** Repeats work until the device is disposed. */
async function forever(once: () => Promise<unknown>): Promise<void> {
  try {
    for (;;) await once();
  } catch (error) {
    if ((error as EvaClipError).code !== "ERR_EVACLIP_DISPOSED") throw error;
  }
}

/** Tasks that keep the device busy: each resolves once it is, with the rest of the task. */
const work: Record<string, (device: Device) => Promise<{ goesOn: Promise<unknown> }>> = {
  async run(device) {
    const program = await imageProgram(device, await allocated(device), 8);
    const images = pixels();
    await program({ images });
    return { goesOn: Promise.all([1, 2].map(() => forever(() => program({ images })))) };
  },
  async compile(device) {
    const model = await allocated(device);
    let batch = 0;
    return { goesOn: forever(async () => (await imageProgram(device, model, ++batch)).dispose()) };
  },
  async parameters(device) {
    const parameter = new Parameter("p", [1 << 20]);
    parameter.allocate(device);
    const data = new Float32Array(parameter.size);
    return { goesOn: forever(() => Promise.all([parameter.write(data), parameter.read()])) };
  },
  async encode(device) {
    const { model } = await savedModel(device);
    return {
      goesOn: forever(() => Promise.all([model.encodeText(["abc", "bcd"]), model.encodePixels(pixels(), 8)])),
    };
  },
  async batch(device) {
    const { model } = await savedModel(device);
    const batcher = new Batcher(model, { maxBatch: 4 });
    const image = { data: new Uint8Array(80 * 80 * 3), width: 80, height: 80, channels: 3 } as const;
    const caller = () => forever(() => Promise.all([batcher.encodeText("abc"), batcher.encodeImage(image)]));
    return { goesOn: Promise.all(Array.from({ length: 20 }, caller)) };
  },
  async train(device) {
    const { model, optimizer } = await tinyTraining(device);
    const data = batchesByStep((step) => tinyBatch(step));
    const run = train({ device, model, optimizer, data, steps: 1_000_000 });
    const events = run[Symbol.asyncIterator]();
    await events.next();
    const rest = async () => {
      while (!(await events.next()).done);
    };
    return { goesOn: rest() };
  },
  async save(device) {
    const { model, folder } = await savedModel(device);
    return { goesOn: forever(() => model.save(folder)) };
  },
  async load(device) {
    const { folder } = await savedModel(device);
    const options = { device, tokenizer: tinyTokenizer };
    return { goesOn: forever(async () => (await EvaClip.load(folder, options)).dispose()) };
  },
  async dispose(device) {
    await work.run!(device);
    return { goesOn: device.dispose() };
  },
};

const ends: Record<string, () => unknown> = {
  exit: () => process.exit(7),
  throw: () => {
    process.once("exit", () => {
      process.exitCode = 7;
    });
    throw new Error("thrown on purpose");
  },
  reject: () => {
    process.once("exit", () => {
      process.exitCode = 7;
    });
    void Promise.reject(new Error("rejected on purpose"));
  },
  signal: () => {
    process.once("SIGTERM", () => process.exit(7));
    setInterval(() => undefined, 1000); // Node receives no signal when its event loop is empty
    process.kill(process.pid, "SIGTERM");
  },
};

async function main(): Promise<void> {
  if (isMainThread && way.startsWith("worker-")) {
    const [, end] = way.split("-") as [string, string];
    const worker = new Worker(__filename, {
      workerData: [end === "exit" ? "exit" : "none", moment, after, kind],
    });
    const code = new Promise<number>((resolve) => worker.once("exit", resolve));
    // The device is busy from here on.
    worker.once("message", () => {
      setTimeout(() => {
        if (end === "terminate") void worker.terminate();
        if (end === "main") process.exit(7);
      }, Number(after));
    });
    const ended = await code;
    process.exitCode = end === "terminate" || ended === 7 ? 7 : 1;
    return;
  }
  const device = await Device.open(kind as DeviceChoice, { threads: 2 });
  await work[moment]!(device);
  parentPort?.postMessage("busy");
  if (way !== "none") setTimeout(() => ends[way]!(), Number(after));
}

void main();
