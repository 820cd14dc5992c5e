import { Device } from "../../lib/device";
import { batchesByStep, batchesOf } from "../../lib/train/batch_source";
import { readCheckpoint, writeCheckpoint } from "../../lib/train/checkpoint";
import { Parameter } from "../../lib/parameter";
import { TrainingRun, train } from "../../lib/train/train";
import { tinyBatch, tinyTraining } from "../support/tiny_clip";

let device: Device;
let tiny: Awaited<ReturnType<typeof tinyTraining>>;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  tiny = await tinyTraining(device);
});
afterAll(() => device.dispose());

const code = "ERR_EVACLIP_INVALID_ARGUMENT";
const config = () => ({ device, ...tiny, data: batchesByStep((step) => tinyBatch(step)), steps: 1 });

test.each<[string, object]>([
  ["config.checkpoint.directory must be a path", { checkpoint: {} }],
  ['config has no field "chekpoint"; did you mean checkpoint?', { chekpoint: { directory: "x" } }],
  ["config.checkpoint.directory", { checkpoint: { directory: "" } }],
  ['config.checkpoint has no field "keeplast"', { checkpoint: { directory: "x", keeplast: 1 } }],
  ["config.device must be a Device", { device: "cpu" }],
  ["config.model must be a ClipModel", { model: {} }],
  ["config.optimizer must be an Optimizer", { optimizer: null }],
  ["config.data must be", { data: 5 }],
  ["config.data must be", { data: [] }],
  ["config.steps", { steps: "3" }],
  ["config.steps", { steps: Number.NaN }],
  ["config.seed must be at most 2147483647, found 1099511627776", { seed: 2 ** 40 }],
  ["config.schedule.kind must be one of", { schedule: { kind: "linear" } }],
  ["a warm-up of 2 steps (--warmup), and the whole run has 1", { schedule: { warmupSteps: 2 } }],
  [
    "a warm-up of 2 steps (--warmup) and a cooldown of 3, and the whole run has 4",
    { steps: 4, schedule: { kind: "const-cooldown", warmupSteps: 2, cooldownSteps: 3 } },
  ],
  ["config.patchDropout.rate", { patchDropout: {} }],
  ["config.evaluate.run must be a function", { evaluate: { every: 1 } }],
  ["config.metricsFile must be a path", { metricsFile: 5 }],
  ["config.images must be a function", { images: "all" }],
  ["config.objective must be a function", { objective: "siglip" }],
  ["config.afterUpdate must be a function", { afterUpdate: {} }],
  ["config.detail.every", { detail: { every: 0 } }],
  ["config.schedule must be", { schedule: null }],
  ["config.schedule.text.kind must be one of", { schedule: { text: { kind: "linear" } } }],
  ['config.schedule has no field "img"', { schedule: { text: {}, img: {} } }],
  ["what config.schedule returns", { schedule: () => 5 }],
  ["a warm-up of 2 steps (--warmup), and the whole run has 1", { schedule: { text: { warmupSteps: 2 } } }],
  ["config.parameterGroups must be", { parameterGroups: [] }],
  ['has a group "Ema": a name must be', { parameterGroups: { Ema: [] } }],
  ['has a group "model": a name must be', { parameterGroups: { model: [] } }],
  ["more is not allocated", { parameterGroups: { more: [new Parameter("more", [1])] } }],
])("train: %s", (message, wrong) => {
  for (const start of [train, (given: never) => new TrainingRun(given, {})]) {
    expect(() => start({ ...config(), ...wrong } as never)).toThrow(expect.objectContaining({ code }));
    expect(() => start({ ...config(), ...wrong } as never)).toThrow(message);
  }
});

test.each<[string, unknown]>([
  ["options.signal must be an AbortSignal", { signal: 5 }],
  ["options.resume must be a path", { resume: true }],
  ['options has no field "resum"; did you mean resume?', { resum: "latest" }],
  ["options.restartData must be true or false", { restartData: "yes" }],
  ["options must be an object", null],
  ["needs config.checkpoint.directory", { resume: "latest" }],
  ["options.restartData is for a resumed run", { restartData: true }],
  ["options.ignore is for a resumed run", { ignore: ["ema"] }],
  ["options.ignore must be a list", { resume: "x", ignore: "ema" }],
])("train: %s", (message, wrong) => {
  expect(() => train(config(), wrong as never)).toThrow(message);
});

test("checkpoints: wrong arguments reject", async () => {
  const state = { version: 1, step: 1, samplesSeen: 1, seed: 0, cursor: null } as const;
  const { config } = tiny.model;
  const groups = { model: tiny.model.parameters(), optimizer: tiny.optimizer.state() };
  const wrong: Promise<unknown>[] = [
    writeCheckpoint(5 as never, { config, groups, state }),
    writeCheckpoint("x", undefined as never),
    writeCheckpoint("x", { config, groups: { optimizer: [] }, state }),
    writeCheckpoint("x", { config, groups: { ...groups, "../ema": [] }, state }),
    writeCheckpoint("x", { config, groups: { ...groups, ema: [5 as never] }, state }),
    writeCheckpoint("x", { config, groups, state: { ...state, step: -1 } }),
    writeCheckpoint("x", { config, groups, state }, { keepLast: 0 }),
    writeCheckpoint("x", { config, groups, state }, { keeplast: 1 } as never),
    readCheckpoint(undefined as never, groups),
    readCheckpoint("x", {} as never),
    readCheckpoint("x", groups, { ignore: "ema" as never }),
  ];
  for (const call of wrong) await expect(call).rejects.toMatchObject({ code });
});

test("sources of batches: wrong arguments are refused at once", () => {
  const dataset = { open: async function* () {} };
  expect(() => batchesByStep(5 as never)).toThrow("batchesByStep: make must be a function");
  expect(() => batchesOf("shards" as never, { batchSize: 1, imageSize: 16 })).toThrow(
    "batchesOf: dataset must be",
  );
  expect(() => batchesOf(dataset, undefined as never)).toThrow(expect.objectContaining({ code }));
  expect(() => batchesOf(dataset, { batchSize: 0, imageSize: 16 })).toThrow(
    expect.objectContaining({ code }),
  );
});
