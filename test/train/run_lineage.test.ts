import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { findCheckpoint, readTrainerState, type TrainerState } from "../../lib/train/checkpoint";
import type { TrainOptions } from "../../lib/train/train";
import type { TrainConfig } from "../../lib/train/train_config";
import { type Outcome, trainTiny } from "../support/train_tiny";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-lineage-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const startOf = ({ events }: Outcome) => events.find((event) => event.type === "start")?.step;
const warnings = ({ events }: Outcome) =>
  events.flatMap((event) => (event.type === "warning" ? [event.message] : []));

/** A run in a folder of its own that saves each step. */
function run(name: string, steps: number, options: TrainOptions = {}, config: Partial<TrainConfig> = {}) {
  const schedule = { kind: "const" } as const;
  return trainTiny(
    device,
    { steps, schedule, checkpoint: { directory: join(folder, name), every: 1 }, ...config },
    options,
  );
}

/** Data that fail at once: the run has started, and ends with nothing to save. */
const noData = { open: () => ({ next: () => Promise.reject(new Error("killed")), state: () => null }) };

test("a new run does not begin in a folder with checkpoints", async () => {
  await run("taken", 2);
  const before = await readdir(join(folder, "taken"));
  const { error, events } = await run("taken", 2);
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_RUN_EXISTS",
    message: expect.stringContaining("step-0000002"),
  });
  expect(events).toEqual([]);
  expect(await readdir(join(folder, "taken"))).toEqual(before);
});

test("nor on the metrics of another run", async () => {
  const metricsFile = join(folder, "metrics.jsonl");
  await trainTiny(device, { steps: 2, metricsFile });
  const { error } = await trainTiny(device, { steps: 2, metricsFile });
  expect(error).toMatchObject({ code: "ERR_EVACLIP_RUN_EXISTS" });
  expect((await readFile(metricsFile, "utf8")).trim().split("\n")).toHaveLength(2);
});

test("latest is of the run that was started last: one from an older checkpoint that crashed before it saved", async () => {
  await run("crash", 4);
  const older = join(folder, "crash", "step-0000001");
  const crashed = await run("crash", 8, { resume: older }, { data: noData });
  expect(crashed.error).toMatchObject({ message: "killed" });
  expect(startOf(await run("crash", 5, { resume: "latest" }))).toBe(1);
});

test("and one from another folder", async () => {
  await run("source", 3);
  await run("target", 8, { resume: join(folder, "source") }, { data: noData });
  expect(startOf(await run("target", 4, { resume: "latest" }))).toBe(3);
  const { error } = await run("target", 5, { resume: join(folder, "source") });
  expect(error).toMatchObject({ code: "ERR_EVACLIP_RUN_EXISTS" });
});

test("and one that began anew and has saved nothing, which begins again", async () => {
  await run("anew", 8, {}, { data: noData });
  const again = await run("anew", 2, { resume: "latest" });
  expect(startOf(again)).toBe(0);
  expect(warnings(again)).toEqual([expect.stringContaining("nothing to resume")]);
});

test("a run from an older checkpoint says what it leaves, and its keepLast removes none of it", async () => {
  await run("branch", 4);
  const directory = join(folder, "branch");
  const options = { resume: join(directory, "step-0000001") };
  const found = await run("branch", 3, options, { checkpoint: { directory, every: 1, keepLast: 1 } });
  expect(warnings(found)).toContainEqual(expect.stringContaining("step-0000002 to step-0000004"));
  expect((await readdir(directory)).filter((name) => name.startsWith("step"))).toEqual([
    "step-0000001",
    "step-0000003",
    "step-0000004",
  ]);
  expect(startOf(await run("branch", 4, { resume: "latest" }))).toBe(3);
});

test("keepLast counts across restarts of one run", async () => {
  const checkpoint = { directory: join(folder, "restarts"), every: 1, keepLast: 2 };
  for (const steps of [2, 4, 6]) await run("restarts", steps, { resume: "latest" }, { checkpoint });
  expect((await readdir(checkpoint.directory)).filter((name) => name.startsWith("step"))).toEqual([
    "step-0000005",
    "step-0000006",
  ]);
});

test("without a latest file the newest whole checkpoint is the latest", async () => {
  await run("unnamed", 3);
  const directory = join(folder, "unnamed");
  await rm(join(directory, "latest"));
  await mkdir(join(directory, "step-0000009"));
  await writeFile(join(directory, "step-0000009", "model.safetensors"), "half");
  expect(await findCheckpoint(directory)).toBe(join(directory, "step-0000003"));
  expect(startOf(await run("unnamed", 4, { resume: "latest" }))).toBe(3);
});

test("so it is when latest names one that is gone, and without the record of the run", async () => {
  await run("gone", 3);
  const directory = join(folder, "gone");
  for (const name of ["step-0000003", "run.json"]) await rm(join(directory, name), { recursive: true });
  expect(startOf(await run("gone", 4, { resume: "latest" }))).toBe(2);
});

test.each<[string, (checkpoint: string) => Promise<void>]>([
  ["a model cut short", (path) => truncate(join(path, "model.safetensors"), 1000)],
  ["no model", (path) => rm(join(path, "model.safetensors"))],
  ["moments cut short", (path) => truncate(join(path, "optimizer.safetensors"), 1000)],
  ["no moments", (path) => rm(join(path, "optimizer.safetensors"))],
  ["a state that is no JSON", (path) => writeFile(join(path, "trainer_state.json"), "{")],
  ["no state", (path) => rm(join(path, "trainer_state.json"))],
  ["a value changed", (path) => changeLastByte(join(path, "optimizer.safetensors"))],
])("a newest checkpoint with %s is an error that names the newest whole one", async (name, damage) => {
  await run(name, 3);
  const directory = join(folder, name);
  const newest = join(directory, "step-0000003");
  await damage(newest);
  const before = await readdir(directory);
  const whole = join(directory, "step-0000002");
  for (const resume of ["latest", newest]) {
    const { error, events } = await run(name, 4, { resume });
    expect(error).toMatchObject({
      code: expect.stringMatching(/^ERR_EVACLIP_(CHECKPOINT_CORRUPT|IO)$/),
      message: expect.stringMatching(/step-0000003.*--resume .*step-0000002$/),
      details: { whole },
    });
    expect(events).toEqual([]);
    expect(await readdir(directory)).toEqual(before);
  }
  expect(startOf(await run(name, 4, { resume: whole }))).toBe(2);
});

async function changeLastByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
}

test("of the whole ones, that of the run that was started last is named", async () => {
  await run("two", 4);
  const directory = join(folder, "two");
  await run("two", 3, { resume: join(directory, "step-0000001") });
  await rm(join(directory, "step-0000003", "optimizer.safetensors"));
  const { error } = await run("two", 5, { resume: "latest" });
  expect(error).toMatchObject({ details: { whole: join(directory, "step-0000002") } });
});

test.each([
  ["the newest", 3],
  ["an older one", 1],
])("a copy of %s beside it is gone on from, and neither removed nor the latest", async (name, step) => {
  await run(name, 3);
  const checkpoint = { directory: join(folder, name), every: 1, keepLast: 1 };
  const best = join(checkpoint.directory, "best");
  await cp(join(checkpoint.directory, `step-000000${step}`), best, { recursive: true });
  const crashed = await run(name, 9, { resume: best }, { checkpoint, data: noData });
  expect(crashed.error).toMatchObject({ message: "killed" });
  expect(startOf(await run(name, step + 1, { resume: "latest" }, { checkpoint }))).toBe(step);
  expect(startOf(await run(name, step + 3, { resume: "latest" }, { checkpoint }))).toBe(step + 1);
  const kept = await readdir(checkpoint.directory);
  expect(kept).toEqual(expect.arrayContaining(["best", "step-0000001", `step-000000${step + 3}`]));
  expect(kept).not.toContain("step-0000005");
  expect(await findCheckpoint(checkpoint.directory)).toMatch(`step-000000${step + 3}`);
});

test("a run from another folder does not go on with the metrics of one that was here", async () => {
  await run("giver", 2);
  const metricsFile = join(folder, "mixed.jsonl");
  const taker = (options: TrainOptions, config: Partial<TrainConfig> = {}) =>
    run("taker", 4, options, { metricsFile, ...config });
  await writeFile(metricsFile, '{"type":"step","step":1}\n');
  const resume = join(folder, "giver", "step-0000002");
  expect((await taker({ resume })).error).toMatchObject({ code: "ERR_EVACLIP_RUN_EXISTS" });
  expect(await readFile(metricsFile, "utf8")).toBe('{"type":"step","step":1}\n');

  await rm(metricsFile);
  await taker({ resume }, { data: noData });
  await writeFile(metricsFile, '{"type":"step","step":3}\n');
  expect((await taker({ resume })).error).toBeUndefined(); // the same run once more
  const lines = (await readFile(metricsFile, "utf8")).trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([3, 4]);
});

test("a checkpoint whose replacement was cut short is found, and put back", async () => {
  await run("replaced", 2);
  const directory = join(folder, "replaced");
  await rename(join(directory, "step-0000002"), join(directory, "step-0000002.old"));
  expect(await findCheckpoint(directory)).toBe(join(directory, "step-0000002.old"));
  expect(startOf(await run("replaced", 3, { resume: "latest" }))).toBe(2);
  expect(await readdir(directory)).toEqual(expect.arrayContaining(["step-0000002", "step-0000003"]));
});

test("checkpoints without a lineage, written by writeCheckpoint alone, are resumed", async () => {
  await run("old", 3);
  const directory = join(folder, "old");
  await rm(join(directory, "run.json"));
  for (const name of ["step-0000001", "step-0000002", "step-0000003"]) {
    const path = join(directory, name, "trainer_state.json");
    const { lineage: _, settings: __, ...state } = JSON.parse(await readFile(path, "utf8")) as TrainerState;
    await writeFile(path, JSON.stringify(state));
  }
  const found = await run(
    "old",
    5,
    { resume: "latest" },
    { checkpoint: { directory, every: 1, keepLast: 2 } },
  );
  expect(found.error).toBeUndefined();
  expect(startOf(found)).toBe(3);
  expect((await readdir(directory)).filter((name) => name.startsWith("step"))).toEqual([
    "step-0000004",
    "step-0000005",
  ]);
  expect((await readTrainerState(join(directory, "step-0000005"))).step).toBe(5);
});
