import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { listDevices } from "../../lib/list_devices";
import { TranspiledLibrary } from "../support/transpiled_library";

let folder: string;
let library: TranspiledLibrary;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-open-"));
  library = new TranspiledLibrary();
});
afterAll(async () => {
  library.remove();
  await rm(folder, { recursive: true });
});

async function withCudaLibrary<T>(path: string, body: () => Promise<T>): Promise<T> {
  process.env.EVA_CLIP_CUDA_LIBRARY = path;
  try {
    return await body();
  } finally {
    delete process.env.EVA_CLIP_CUDA_LIBRARY;
  }
}

const PATHS: Record<string, () => Promise<string>> = {
  "a name of 300 characters": async () => join(folder, "n".repeat(300)),
  "a path of 100,000 characters": async () => "/p".repeat(50_000),
  "a loop of links": async () => {
    await symlink("loop", join(folder, "loop"));
    return join(folder, "loop");
  },
  "a pipe": async () => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    return join(folder, "pipe");
  },
  "a folder": async () => folder,
};

test.each(Object.keys(PATHS))(
  "%s in place of the CUDA backend is an error with a code, and auto falls back to the CPU",
  async (what) => {
    const path = await PATHS[what]!();
    await withCudaLibrary(path, async () => {
      const refused = await Device.open("cuda").catch((error) => error);
      expect(refused).toMatchObject({ code: "ERR_EVACLIP_NO_DEVICE" });
      expect(refused.message.length).toBeLessThan(500);
      await using device = await Device.open("auto", { threads: 1 });
      expect(device.info.kind).toBe("cpu");
      expect(device.fallbackReason).toBe(refused.message);
    });
  },
);

test.each([
  [["gpu"], 'Device.open: kind must be one of cpu, cuda, auto, found "gpu"'],
  [[null], "Device.open: kind must be"],
  [["cpu", null], "Device.open: options must be an object"],
  [["cpu", { threads: "3" }], "Device.open: options.threads must be an integer of at least 1"],
  [["cpu", { threads: 0 }], "Device.open: options.threads must be at least 1, found 0"],
  [["cuda", { index: 1.5 }], "Device.open: options.index must be an integer of at least 0"],
  [["cuda", { index: -1 }], "Device.open: options.index must be at least 0, found -1"],
  [["cpu", { thread: 1 }], "did you mean threads?"],
  [["cpu", { logger: 5 }], "Device.open: options.logger must be a logger"],
  [["cpu", { instructionSet: 4 }], "Device.open: options.instructionSet must be one of v2, v3, v4, v4_bf16"],
])("Device.open refuses %p", async (given, message) => {
  await expect(Device.open(...(given as [never]))).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(message),
  });
});

test("a Device of another copy of the package is named as such", async () => {
  jest.resetModules();
  const other = require("../../lib/device") as typeof import("../../lib/device");
  const { compile } = require("../../lib/compile") as typeof import("../../lib/compile");
  await using device = await Device.open("cpu", { threads: 1 });
  expect(other.Device).not.toBe(Device);
  for (const call of [compile(device as never, {}, () => ({})), other.Device.open(device as never)]) {
    await expect(call).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringContaining("this one is another copy's"),
    });
  }
});

test("OpenMP's threads sleep soon wherever the addon is loaded first, and child processes do not inherit the setting", async () => {
  const { GOMP_SPINCOUNT: _, ...env } = library.env;
  const seen = (how: string) =>
    JSON.parse(
      execFileSync(process.execPath, [library.script("spin_count.js"), how], { env, encoding: "utf8" }),
    );
  for (const how of ["main", "worker"]) {
    expect(seen(how)).toMatchObject({
      displayed: expect.stringContaining("GOMP_SPINCOUNT = '10000'"),
      child: "",
    });
  }
});

test("without the addon, importing has no side effects, and what needs no native code works", () => {
  const env = { ...process.env, EVA_CLIP_NATIVE_PATH: "/nowhere/eva_clip.node" };
  const output = execFileSync(process.execPath, [library.script("without_addon.js")], {
    env,
    encoding: "utf8",
  });
  const missing = expect.stringContaining("the native addon could not be loaded");
  expect(JSON.parse(output)).toEqual({
    listeners: 0,
    tokens: [49406, 320, 2368, 49407, 0, 0, 0, 0],
    models: expect.any(Number),
    samples: "ERR_EVACLIP_DATA",
    devices: ["cpu", "cuda"].map((kind) => ({ kind, index: 0, available: false, reason: missing })),
    open: "ERR_EVACLIP_NATIVE_NOT_FOUND",
  });
});

test("the devices of the machine are listed, with the reason for one that cannot be used", async () => {
  const [cpu, cuda] = await withCudaLibrary(folder, listDevices);
  expect(cpu).toMatchObject({ kind: "cpu", index: 0, available: true, name: expect.any(String) });
  expect(cpu!.available && cpu!.memoryBytes).toBeGreaterThan(2 ** 20);
  const lack = { needed: expect.any(String), found: expect.any(String) };
  expect(cuda).toEqual({ kind: "cuda", index: 0, available: false, reason: expect.any(String), ...lack });
});

test("a logger is told why auto chose the CPU, and a disposed device says so", async () => {
  const warnings: string[] = [];
  const logger = { warn: (message: string) => warnings.push(message) };
  await withCudaLibrary(folder, async () => {
    const device = await Device.open("auto", { threads: 1, logger });
    expect(warnings).toEqual([`device cpu in place of cuda: ${device.fallbackReason}`]);
    expect(device.disposed).toBe(false);
    await device.dispose();
    expect(device.disposed).toBe(true);
  });
});
