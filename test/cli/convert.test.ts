import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { initializeModel } from "../../lib/weights/initialize";
import { captureCli } from "../support/run_cli";
import { type TinyName, tinyModel } from "../support/tiny_models";

let device: Device;
let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-convert-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

async function write(name: TinyName, target: string): Promise<void> {
  const model = tinyModel(name);
  await initializeModel(model, device, { seed: 4 });
  await writeWeights(path(target), model);
  model.dispose();
}

test("a plain model goes to transformers' layout and back, bit for bit", async () => {
  await write("plain", "plain");
  const there = await captureCli("convert", path("plain"), path("hf"), "--layout", "hugging_face", "--json");
  expect(there.code).toBe(0);
  expect(JSON.parse(there.out)).toMatchObject({
    fromLayout: "openai",
    dtype: "f32",
    files: ["model.safetensors", "config.json", "preprocessor_config.json"].map((name) => path("hf", name)),
  });
  expect(await readFile(path("hf", "config.json"), "utf8")).toContain('"hidden_act": "quick_gelu"');
  expect(await captureCli("convert", path("hf"), path("back"))).toMatchObject({ code: 0 });
  expect(await readFile(path("back", "model.safetensors"))).toEqual(
    await readFile(path("plain", "model.safetensors")),
  );
});

test.each(["f16", "bf16"])("weights in %s stay so, bit for bit", async (type) => {
  await write("eva02", `eva-${type}`);
  const narrow = path(`${type}.safetensors`);
  expect(await captureCli("convert", path(`eva-${type}`), narrow, "--dtype", type)).toMatchObject({
    code: 0,
  });
  const again = await captureCli("convert", narrow, path(`again-${type}`));
  expect(again.out).toContain(type);
  expect(await readFile(path(`again-${type}`, "model.safetensors"))).toEqual(await readFile(narrow));
});

test("a layout that cannot hold the model is refused, and nothing written", async () => {
  await write("eva01", "eva01");
  const { code, err } = await captureCli("convert", path("eva01"), path("no"), "--layout", "openai");
  expect(code).toBe(2);
  expect(err).toMatch(/an EVA image tower can be written as eva_clip, open_clip, not as openai/);
  await expect(readdir(path("no"))).rejects.toThrow();
});

test.each([
  ["a type that is none", ["a", "b", "--dtype", "fp8"], 2, /It must be one of f32, fp32/],
  ["a file that is not there", ["./nowhere", "b"], 1, /cannot open \.\/nowhere/],
])("%s", async (_, words, code, message) => {
  const found = await captureCli("convert", ...words);
  expect(found.code).toBe(code);
  expect(found.err).toMatch(message);
});

test.each(["openai", "open_clip", "hugging_face"])(
  "%s keeps what the source states of its images",
  async (layout) => {
    const source = join(__dirname, "../fixtures/models/oc_preprocess");
    const target = path(`stated-${layout}`);
    expect(await captureCli("convert", source, target, "--layout", layout)).toMatchObject({ code: 0 });
    const there = await captureCli("inspect", source, "--json");
    const back = await captureCli("inspect", target, "--json");
    const { preprocess_cfg } = JSON.parse(back.out).config;
    expect(preprocess_cfg).toEqual(JSON.parse(there.out).config.preprocess_cfg);
    expect(preprocess_cfg).toMatchObject({
      mean: [0.5, 0.5, 0.5],
      interpolation: "bilinear",
      resize_mode: "squash",
    });
  },
);

test("a target whose folder exists as a file", async () => {
  const source = join(__dirname, "../fixtures/models/oc_preprocess");
  await write("plain", "file-there");
  const below = path("file-there/config.json/below");
  const { code, out } = await captureCli("convert", source, below, "--json");
  expect(code).not.toBe(0);
  expect(JSON.parse(out).error.code).toBe("ERR_EVACLIP_IO");
});

test.each(["~", "~/weights", "~/weights/a.safetensors"])(
  "%s, which the shell has left as it is, is no target",
  async (target) => {
    const { code, err } = await captureCli("convert", "in", target);
    expect(code).toBe(2);
    expect(err).toContain("The shell expands ~ only at the start of a word");
    expect(err).toContain(`or ./${target} for a folder named ~`);
  },
);

test("--rope-tables is for a model and a layout that have them", async () => {
  await write("plain", "without-rope");
  await write("eva02", "with-rope");
  const refused = [
    ["without-rope", []],
    ["with-rope", ["--layout", "open_clip"]],
  ] as const;
  for (const [source, more] of refused) {
    const { code, err } = await captureCli("convert", path(source), path("no"), "--rope-tables", ...more);
    expect(code).toBe(2);
    expect(err).toContain("--rope-tables is for models with RoPE, in the layout eva_clip");
  }
  await expect(readdir(path("no"))).rejects.toThrow();
  expect(await captureCli("convert", path("with-rope"), path("tables"), "--rope-tables")).toMatchObject({
    code: 0,
  });
});
