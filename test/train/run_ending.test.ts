import fileSystem, { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { batchesByStep } from "../../lib/train/batch_source";
import { train } from "../../lib/train/train";
import type { TrainConfig } from "../../lib/train/train_config";
import { tinyBatch, tinyTraining } from "../support/tiny_clip";
import { type Outcome, trainTiny } from "../support/train_tiny";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-ending-"));
});
afterEach(() => jest.restoreAllMocks());
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const warnings = ({ events }: Outcome) =>
  events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
const types = ({ events }: Outcome) => events.map(({ type }) => type);

/** Data that fail at a step, counted from 0. */
const failingData = (at: number, error: unknown) =>
  batchesByStep((step) => {
    if (step === at) throw error;
    return tinyBatch(step);
  });

describe("whatever ends a run, the last good step is saved first", () => {
  const enough = new Error("the disk is gone");
  const failingEvaluation = {
    every: 3,
    run: async () => {
      throw enough;
    },
  };

  test.each<[string, Partial<TrainConfig>]>([
    ["data that fail", { data: failingData(3, enough) }],
    ["an evaluation that fails", { evaluate: failingEvaluation }],
    [
      "an evaluation at the step of a checkpoint",
      { evaluate: failingEvaluation, checkpoint: { directory: "", every: 3 } },
    ],
  ])("%s", async (name, config) => {
    const directory = join(folder, name);
    const whole = await trainTiny(device, { steps: 3, schedule: { kind: "const", warmupSteps: 2 } });
    const found = await trainTiny(device, {
      schedule: { kind: "const", warmupSteps: 2 },
      ...config,
      checkpoint: { ...config.checkpoint, directory },
    });
    expect(found.error).toBe(enough);
    expect(found.events.at(-1)).toMatchObject({ type: "checkpoint", step: 3 });
    const resumed = await trainTiny(
      device,
      { steps: 3, schedule: { kind: "const", warmupSteps: 2 }, checkpoint: { directory } },
      { resume: "latest" },
      { seed: 9 },
    );
    expect(resumed.content).toEqual(whole.content);
  });

  test("a batch that does not fit the model", async () => {
    const directory = join(folder, "misfit");
    const data = batchesByStep((step) => {
      const batch = tinyBatch(step);
      return step === 2 ? { ...batch, images: new Uint8Array(5) } : batch;
    });
    const { error } = await trainTiny(device, { data, checkpoint: { directory } });
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_EVACLIP_/) });
    expect(await readdir(directory)).toContain("step-0000002");
  });

  test("a failure of that save is the cause of the error, which stays the error", async () => {
    const directory = join(folder, "unsaved");
    const error = new Error("no data");
    const data = batchesByStep(async (step) => {
      if (step < 2) return tinyBatch(step);
      await rm(directory, { recursive: true });
      await writeFile(directory, "a file where the folder was");
      throw error;
    });
    const found = await trainTiny(device, { data, checkpoint: { directory } });
    expect(found.error).toBe(error);
    expect(error.cause).toMatchObject({ code: "ERR_EVACLIP_IO" });
    expect(warnings(found)).toContainEqual(expect.stringContaining("step 2 could not be saved"));
  });

  test("a device that is disposed", async () => {
    const other = await Device.open("cpu", { threads: 1 });
    const { model, optimizer } = await tinyTraining(other);
    const data = batchesByStep(async (step) => {
      if (step === 2) await other.dispose();
      return tinyBatch(step);
    });
    const directory = join(folder, "disposed");
    const run = train({ device: other, model, optimizer, data, steps: 9, checkpoint: { directory } });
    await expect(run.result).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  });
});

test("parameters that are not finite are never saved: the checkpoint before stays the newest", async () => {
  const directory = join(folder, "infinite");
  const { model, optimizer } = await tinyTraining(device);
  const data = batchesByStep(async (step) => {
    if (step === 3) await model.logitScale.write(Float32Array.of(Number.NaN));
    return tinyBatch(step);
  });
  const run = train({ device, model, optimizer, data, steps: 9, checkpoint: { directory, every: 2 } });
  const error = await run.result.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: expect.stringMatching(/NAN_LOSS|NOT_FINITE/) });
  expect(await readdir(directory)).toEqual(["latest", "run.json", "step-0000002"]);
  const resumed = await trainTiny(
    device,
    { seed: 0, steps: 3, checkpoint: { directory } },
    { resume: "latest" },
  );
  expect(resumed.error).toBeUndefined();
});

test("stopping passes a signal to the evaluation under way, and waits for no more data", async () => {
  let told: AbortSignal | undefined;
  const found = await trainTiny(
    device,
    {
      evaluate: {
        every: 2,
        run: (_, signal) =>
          new Promise((_resolve, reject) => {
            told = signal;
            signal.addEventListener("abort", () => reject(signal.reason));
          }),
      },
      checkpoint: { directory: join(folder, "evaluating"), every: 2 },
    },
    {},
    {},
    (event, run) => {
      if (event.type === "checkpoint") setTimeout(() => run.stop(), 50);
    },
  );
  expect(told?.aborted).toBe(true);
  expect(found.result).toMatchObject({ reason: "stopped", step: 2 });

  const stuck = batchesByStep((step) => (step < 2 ? tinyBatch(step) : new Promise<never>(() => undefined)));
  const waiting = await trainTiny(device, { data: stuck }, {}, {}, (event, run) => {
    if (event.type === "step" && event.step === 2) run.stop();
  });
  expect(waiting.result).toMatchObject({ reason: "stopped", step: 2 });
});

describe("metrics that cannot be written", () => {
  const failing = (code: string) => {
    const { open } = fileSystem;
    return jest.spyOn(fileSystem, "open").mockImplementation(async (...given) => {
      if (String(given[0]).endsWith("metrics.jsonl")) throw Object.assign(new Error(`${code}: no`), { code });
      return open(...given);
    });
  };

  test.each(["EMFILE", "ENOSPC", "EROFS", "EIO"])(
    "%s: the run goes on, tells it once, and counts",
    async (code) => {
      const metricsFile = join(folder, code, "metrics.jsonl");
      let spy: jest.SpyInstance | undefined;
      const found = await trainTiny(device, { metricsFile }, {}, {}, (event) => {
        if (event.type === "start") spy = failing(code);
      });
      spy?.mockRestore();
      expect(found.result).toMatchObject({ reason: "finished", unwrittenMetrics: 8 });
      expect(warnings(found)).toEqual([
        expect.stringContaining("metrics are not written"),
        expect.stringContaining("8 lines are missing"),
      ]);
    },
  );

  test("lines are kept, and written once that is possible again", async () => {
    const metricsFile = join(folder, "later", "metrics.jsonl");
    let spy: jest.SpyInstance | undefined;
    const found = await trainTiny(device, { metricsFile }, {}, {}, (event) => {
      if (event.type === "step" && event.step === 2) spy = failing("ENOSPC");
      if (event.type === "step" && event.step === 5) spy?.mockRestore();
    });
    expect(found.result).toMatchObject({ unwrittenMetrics: 0 });
    expect(types(found).filter((type) => type === "warning")).toHaveLength(1);
    const lines = (await readFile(metricsFile, "utf8")).trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
  });

  test("the folder is deleted under way: it is made again", async () => {
    const metricsFile = join(folder, "deleted", "metrics.jsonl");
    const data = batchesByStep(async (step) => {
      if (step === 4) await rm(join(folder, "deleted"), { recursive: true });
      return tinyBatch(step);
    });
    const found = await trainTiny(device, { metricsFile, data });
    expect(found.result).toMatchObject({ reason: "finished", unwrittenMetrics: 0 });
    expect((await readFile(metricsFile, "utf8")).trim().split("\n").at(-1)).toContain('"step":8');
  });

  test("a path that cannot be at the start is an error of ours before the first step", async () => {
    await writeFile(join(folder, "plain"), "");
    const found = await trainTiny(device, { metricsFile: join(folder, "plain", "metrics.jsonl") });
    expect(found.error).toMatchObject({ code: "ERR_EVACLIP_IO" });
    expect(types(found)).toEqual([]);
  });
});

test("what a killed save left behind is cleared away when the next run starts", async () => {
  const directory = join(folder, "killed");
  await mkdir(join(directory, "step-0000004.tmp"), { recursive: true });
  const leftover = join(directory, "latest.0123abcd-1-0123abcd.tmp"); // of another machine, two days ago
  await writeFile(leftover, "step-");
  const then = Date.now() / 1000 - 2 * 86_400;
  await utimes(leftover, then, then);
  await trainTiny(device, { steps: 1, checkpoint: { directory } });
  expect((await readdir(directory)).sort()).toEqual(["latest", "run.json", "step-0000001"]);
});
