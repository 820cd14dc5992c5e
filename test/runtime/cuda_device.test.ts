import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Device } from "../../lib/device";
import type { EvaClipError } from "../../lib/errors";

const addon = process.env.EVA_CLIP_NATIVE_PATH ?? resolve(__dirname, "../../build/Release/eva_clip.node");

/** The error of opening a CUDA device with this library in place of the real one. */
async function refusal(library: string): Promise<EvaClipError> {
  process.env.EVA_CLIP_CUDA_LIBRARY = library;
  try {
    await (await Device.open("cuda")).dispose();
  } catch (error) {
    return error as EvaClipError;
  } finally {
    delete process.env.EVA_CLIP_CUDA_LIBRARY;
  }
  throw new Error("the device was opened");
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-cuda-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("cuda rejects without a library, and names it and how to build it", async () => {
  const library = join(folder, "libeva_clip_cuda.so");
  const error = await refusal(library);
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_NO_DEVICE",
    details: { needed: "libeva_clip_cuda.so", found: "none", path: library },
  });
  expect(error.message).toContain("npm run build:cuda");
});

test("cuda rejects a file that is not a library", async () => {
  const file = join(folder, "text.so");
  await writeFile(file, "not a library");
  expect(await refusal(file)).toMatchObject({
    code: "ERR_EVACLIP_NO_DEVICE",
    message: expect.stringContaining("cannot load the backend library"),
  });
});

test("cuda rejects a library that is not a backend", async () => {
  expect(await refusal(addon)).toMatchObject({
    code: "ERR_EVACLIP_NO_DEVICE",
    message: expect.stringContaining("is not an eva-clip backend library"),
  });
});

test("auto falls back to the CPU if cuda is not available, and records the reason", async () => {
  process.env.EVA_CLIP_CUDA_LIBRARY = join(folder, "nowhere.so");
  await using device = await Device.open("auto", { threads: 1 });
  delete process.env.EVA_CLIP_CUDA_LIBRARY;
  expect(device.info.kind).toBe("cpu");
  expect(device.fallbackReason).toContain("nowhere.so");
});

// Only if `npm run build:cuda` was run.
const built = join(addon, "..", "libeva_clip_cuda.so");
(existsSync(built) ? test : test.skip)("the real library opens a GPU or says what it lacks", async () => {
  try {
    await using device = await Device.open("cuda");
    expect(device.info).toMatchObject({ kind: "cuda", library: expect.stringContaining("cuBLASLt") });
  } catch (error) {
    expect(error).toMatchObject({ code: "ERR_EVACLIP_NO_DEVICE", details: { needed: expect.any(String) } });
  }
});
