import fileSystem, { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors";
import type { ClipModel } from "../../lib/models/clip_model";
import { Parameter } from "../../lib/parameter";
import type { Optimizer } from "../../lib/optim/optimizer";
import {
  type CheckpointContent,
  findCheckpoint,
  MODEL_FILE,
  readCheckpoint,
  readTrainerState,
  STATE_FILE,
  type TrainerState,
  writeCheckpoint,
} from "../../lib/train/checkpoint";
import { contentOf, tinyTraining } from "../support/tiny_clip";

const state: TrainerState = {
  version: 1,
  step: 12,
  samplesSeen: 96,
  seed: 3,
  cursor: { epoch: 1, position: [2] },
};

let device: Device;
let folder: string;
let model: ClipModel;
let optimizer: Optimizer;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-checkpoint-"));
  ({ model, optimizer } = await tinyTraining(device));
  await optimizer.allocate(device);
});
afterAll(async () => {
  jest.restoreAllMocks();
  await device.dispose();
  await rm(folder, { recursive: true });
});

function content(more: Partial<TrainerState> = {}): CheckpointContent {
  const groups = { model: model.parameters(), optimizer: optimizer.state() };
  return { config: model.config, groups, state: { ...state, ...more } };
}

/** The groups of another model, to read into. */
async function target() {
  const other = await tinyTraining(device, { seed: 77 });
  await other.optimizer.allocate(device);
  return { model: other.model.parameters(), optimizer: other.optimizer.state() };
}

test("what was written is read back, with the published keys and the configuration", async () => {
  const root = join(folder, "whole");
  const path = await writeCheckpoint(root, content());
  expect((await readdir(path)).sort()).toEqual([
    "config.json",
    MODEL_FILE,
    "optimizer.safetensors",
    STATE_FILE,
  ]);
  expect(await findCheckpoint(root)).toBe(path);
  expect(await findCheckpoint(path)).toBe(path);
  expect(JSON.parse(await readFile(join(path, "config.json"), "utf8"))).toMatchObject({ embed_dim: 16 });
  await using file = await openSafetensors(join(path, MODEL_FILE));
  expect(file.tensors.has("visual.blocks.0.attn.q_proj.weight")).toBe(true);

  const other = await target();
  expect(await readCheckpoint(path, other)).toEqual(state);
  expect(await contentOf(other.model)).toEqual(await contentOf(model.parameters()));
});

test("every group is a file, which the state lists; one that does not fit leaves all parameters as they were", async () => {
  const average = new Parameter("average", [2, 2]);
  average.allocate(device);
  await average.write(Float32Array.of(1, 2, 3, 4));
  const { groups, ...rest } = content();
  const path = await writeCheckpoint(join(folder, "groups"), {
    ...rest,
    groups: { ...groups, average: [average] },
  });
  expect(await readdir(path)).toContain("average.safetensors");
  const file = JSON.parse(await readFile(join(path, STATE_FILE), "utf8")) as { groups: object };
  expect(Object.keys(file.groups)).toEqual(["model", "optimizer", "average"]);

  const other = new Parameter("average", [2, 2]);
  other.allocate(device);
  expect(await readCheckpoint(path, { ...(await target()), average: [other] })).toEqual(state);
  expect((await other.read()).data).toEqual(Float32Array.of(1, 2, 3, 4));

  const fresh = await target();
  const before = await contentOf(fresh.model);
  const misshapen = new Parameter("average", [4]);
  misshapen.allocate(device);
  for (const groups of [{ ...fresh, average: [misshapen] }, fresh]) {
    await expect(readCheckpoint(path, groups)).rejects.toMatchObject({
      code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    });
  }
  expect(await contentOf(fresh.model)).toEqual(before);
  expect(await readCheckpoint(path, fresh, { ignore: ["average"] })).toEqual(state);
  for (const parameter of [average, other, misshapen]) parameter.dispose();
});

test("a later checkpoint of the same step takes the place of the earlier one", async () => {
  const root = join(folder, "again");
  await writeCheckpoint(root, content());
  const path = await writeCheckpoint(root, content({ samplesSeen: 1000 }));
  expect((await readTrainerState(path)).samplesSeen).toBe(1000);
  expect((await readdir(root)).sort()).toEqual(["latest", "step-0000012"]);
});

test("what a crash left behind is cleared away", async () => {
  const root = join(folder, "crash");
  await mkdir(join(root, "step-0000004.tmp"), { recursive: true });
  await writeFile(join(root, "step-0000004.tmp", MODEL_FILE), "half");
  await writeCheckpoint(root, content());
  expect((await readdir(root)).sort()).toEqual(["latest", "step-0000012"]);
});

test("a full disk: a clear error, nothing half-written, and the checkpoint before stays whole", async () => {
  const root = join(folder, "full");
  const before = await writeCheckpoint(root, content());
  const { open } = fileSystem;
  const spy = jest.spyOn(fileSystem, "open").mockImplementation(async (...given) => {
    const handle = await open(...given);
    if (String(given[0]).includes("optimizer.safetensors")) {
      handle.write = () =>
        Promise.reject(
          Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }),
        );
    }
    return handle;
  });
  const failed = writeCheckpoint(root, content({ step: 13 }));
  await expect(failed).rejects.toMatchObject({ code: "ERR_EVACLIP_DISK_FULL" });
  await expect(failed).rejects.toThrow("step-0000013");
  spy.mockRestore();
  expect((await readdir(root)).sort()).toEqual(["latest", "step-0000012"]);
  expect(await findCheckpoint(root)).toBe(before);
  expect(await readCheckpoint(before, await target())).toEqual(state);
});

test("a folder that cannot be written to is an error of ours", async () => {
  await writeFile(join(folder, "file"), "");
  const failed = writeCheckpoint(join(folder, "file", "runs"), content());
  await expect(failed).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
});

describe("a checkpoint that does not fit", () => {
  /** A checkpoint whose tensors were changed. */
  async function changed(name: string, change: (tensors: Map<string, ReturnType<typeof tensor>>) => void) {
    const root = join(folder, name);
    const path = await writeCheckpoint(root, content());
    const copy = join(folder, `${name}-copy`);
    await cp(path, copy, { recursive: true });
    const all = await Promise.all(
      model
        .parameters()
        .map(async (parameter) =>
          tensor(parameter.name, parameter.shape, (await parameter.read()).data as Float32Array),
        ),
    );
    const tensors = new Map(all.map((entry) => [entry.name, entry]));
    change(tensors);
    await writeSafetensors(join(copy, MODEL_FILE), tensors.values());
    return copy;
  }
  const tensor = (name: string, shape: readonly number[], data: Float32Array) => ({
    name,
    shape,
    data,
    dtype: "F32" as const,
  });
  const mismatch = async (path: string) => {
    const other = await target();
    const before = await contentOf(other.model);
    const error = await readCheckpoint(path, other).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_MISMATCH" });
    expect(await contentOf(other.model)).toEqual(before);
    return (error as Error).message;
  };

  test("a missing tensor is named", async () => {
    const path = await changed("missing", (tensors) => tensors.delete("visual.head.weight"));
    expect(await mismatch(path)).toContain("missing visual.head.weight");
  });

  test("a tensor too many is named", async () => {
    const path = await changed("extra", (tensors) =>
      tensors.set("more", tensor("more", [1], Float32Array.of(1))),
    );
    expect(await mismatch(path)).toContain("unexpected more");
  });

  test("a tensor of another shape is named, with both shapes", async () => {
    const path = await changed("shape", (tensors) =>
      tensors.set("visual.head.bias", tensor("visual.head.bias", [2, 8], new Float32Array(16))),
    );
    expect(await mismatch(path)).toContain("visual.head.bias (expected [16], found [2, 8])");
  });

  test("tables that are derived from the configuration are passed over", async () => {
    const path = await changed("derived", (tensors) =>
      tensors.set("r", tensor("visual.rope.freqs_cos", [2], new Float32Array(2))),
    );
    expect(await readCheckpoint(path, await target())).toEqual(state);
  });
});

test.each([
  ["not JSON", "{", "is not JSON"],
  ["not a state", '{"version": 1, "step": -1}', "step"],
])("a state file that is %s is reported as damaged", async (_, text, problem) => {
  const path = await writeCheckpoint(join(folder, "state"), content());
  await writeFile(join(path, STATE_FILE), text);
  const reading = readTrainerState(path);
  await expect(reading).rejects.toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_CORRUPT" });
  await expect(reading).rejects.toThrow(problem);
});

test("a latest file that names no checkpoint is reported as damaged", async () => {
  const root = join(folder, "latest");
  await mkdir(root);
  await writeFile(join(root, "latest"), "../elsewhere\n");
  await expect(findCheckpoint(root)).rejects.toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_CORRUPT" });
});
