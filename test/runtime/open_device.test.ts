import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
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
  "%s in the place of the CUDA backend is an error of ours, and auto goes on",
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
  [["cpu", { thread: 1 }], "did you mean threads?"],
  [["cpu", { instructionSet: 4 }], "Device.open: options.instructionSet must be one of v2, v3, v4"],
])("Device.open refuses %p", async (given, message) => {
  await expect(Device.open(...(given as [never]))).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(message),
  });
});

test("a Device of another copy of the package is called that", async () => {
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

test("OpenMP's threads sleep soon, wherever the addon is loaded first, and child processes know nothing of it", async () => {
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
