import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { writeSafetensors } from "../../lib/io/safetensors";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import { initializeModel } from "../../lib/weights/initialize";
import { captureCli } from "../support/run_cli";
import { tinyModel } from "../support/tiny_models";

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-inspect-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A safetensors file of a published model whose zeros take no room on the disk. */
async function writeHollow(
  file: string,
  name: string,
  rename: (name: string) => string | undefined = (key) => key,
): Promise<void> {
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const parameter of new ClipModel(modelConfig(name)).parameters()) {
    const stored = rename(parameter.name);
    if (stored === undefined) continue;
    header[stored] = {
      dtype: "F16",
      shape: parameter.shape,
      data_offsets: [end, end + 2 * parameter.size],
    };
    end += 2 * parameter.size;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await using handle = await open(file, "w");
  await handle.write(Buffer.concat([length, text]));
  await handle.truncate(8 + text.length + end);
}

async function inspected(...words: string[]): Promise<Record<string, unknown>> {
  const { code, out } = await captureCli("inspect", ...words, "--json");
  expect(code).toBe(0);
  return JSON.parse(out) as Record<string, unknown>;
}

test("weights with their configuration: layout, types, parameters of each tower", async () => {
  await using device = await Device.open("cpu", { threads: 1 });
  const model = tinyModel("eva02");
  await initializeModel(model, device);
  await writeWeights(path("own"), model, { dtype: "f16", ropeTables: true });
  const sizeOf = (parameters: readonly { size: number }[]) =>
    parameters.reduce((sum, { size }) => sum + size, 0);
  expect(await inspected(path("own"))).toMatchObject({
    path: path("own", "model.safetensors"),
    format: "safetensors",
    layout: "eva_clip",
    models: [],
    parameters: sizeOf(model.parameters()),
    imageParameters: sizeOf(model.image.parameters()),
    textParameters: sizeOf(model.text.parameters()),
    dtypes: { F16: model.parameters().length + 6 }, // two tables for the tower and for each of two blocks
    config: { embed_dim: 24, vision_cfg: { rope: true } },
  });
  const { out } = await captureCli("inspect", path("own"));
  expect(out).toMatch(/^layout +eva_clip$/m);
  expect(out).toMatch(/^model +none of the published ones$/m);
  expect(out).toMatch(/^visual\.blocks\.1\.attn\.q_bias +F16 \[32\]$/m);
  model.dispose();
});

test("weights alone: which published model they are", async () => {
  await writeHollow(path("e.safetensors"), "EVA02-CLIP-bigE-14-plus");
  expect(await inspected(path("e.safetensors"))).toMatchObject({
    layout: "eva_clip",
    models: ["EVA02-CLIP-bigE-14-plus"],
    parameters: 5_044_889_089,
  });
});

test("weights that do not tell their activation: both models, and what to state", async () => {
  await writeHollow(path("b.safetensors"), "ViT-B-32");
  const untold = await inspected(path("b.safetensors"));
  expect(untold).toMatchObject({ layout: "openai", models: ["ViT-B-32", "ViT-B-32-quickgelu"] });
  expect(untold.unknown).toMatch(/cannot tell the activation of .*: state quick_gelu/);
  const stated = await inspected(path("b.safetensors"), "--quick-gelu");
  expect(stated).toMatchObject({ models: ["ViT-B-32-quickgelu"], config: { quick_gelu: true } });
  expect(await inspected(path("b.safetensors"), "--no-quick-gelu")).toMatchObject({ models: ["ViT-B-32"] });
});

test("of weights and their moving average none is taken without a word", async () => {
  const file = path("both.safetensors");
  const tensor = (name: string, size: number) => ({
    name,
    dtype: "F32" as const,
    shape: [size],
    data: new Float32Array(size),
  });
  await writeSafetensors(file, [tensor("model.x", 2), tensor("ema.x", 3)]);
  const { code, err } = await captureCli("inspect", file);
  expect(code).toBe(1);
  expect(err).toMatch(/"model\.x"\) and their exponential moving average \("ema\.x"\).*--ema .*--no-ema/);
  expect(await inspected(file, "--no-ema")).toMatchObject({ tensors: [{ name: "x", shape: [2] }] });
  expect(await inspected(file, "--ema")).toMatchObject({ tensors: [{ name: "x", shape: [3] }] });
});

test("a tower alone: which published models have it", async () => {
  const file = path("mim.safetensors");
  await writeHollow(file, "EVA01-CLIP-g-14", (name) => /^visual\.(?!head)(.*)$/.exec(name)?.[1]);
  expect(await inspected(file)).toMatchObject({
    layout: "eva_mim",
    models: [],
    imageTowerOf: ["EVA01-CLIP-g-14", "EVA01-CLIP-g-14-plus"],
  });
  const { out } = await captureCli("inspect", file);
  expect(out).toMatch(/^image tower of +EVA01-CLIP-g-14 or EVA01-CLIP-g-14-plus$/m);
});

test("tensors of something else are listed, and why they are no model", async () => {
  const file = join(__dirname, "..", "fixtures", "interpolate.safetensors");
  const { layout, unknown, tensors } = await inspected(file);
  expect(layout).toBeUndefined();
  expect(unknown).toMatch(/has an unknown layout/);
  expect((tensors as unknown[]).length).toBeGreaterThan(0);
});

test("a file that is not there is no unknown model", async () => {
  const { code, err } = await captureCli("inspect", path("nowhere.pt"));
  expect(code).toBe(1);
  expect(err).toMatch(/cannot open .*nowhere\.pt.*ERR_EVACLIP_IO/);
});

test.each([
  ["modl/dir", /modl\/dir is neither a file nor a published model/],
  ["./none", /none: it does not exist$/],
  ["some/deep/path", /some\/deep\/path: it does not exist$/],
  ["none.safetensors", /none\.safetensors: it does not exist$/],
])("%s, where there is nothing", async (target, message) => {
  const { code, out } = await captureCli("inspect", target, "--json");
  expect(code).not.toBe(0);
  expect(JSON.parse(out).error.message).toMatch(message);
});

test("a --config that is no configuration is an error, not something unknown of the weights", async () => {
  const weights = join(__dirname, "../fixtures/models/oc_preprocess");
  await writeFile(path("list.json"), "[]");
  const { code, err } = await captureCli("inspect", weights, "--config", path("list.json"));
  expect(code).toBe(1);
  expect(err).toContain("list.json contains no configuration");
});

test("what a file of weights does not tell is not stated of a published model", async () => {
  for (const flags of [["--config", "ViT-B-32"], ["--no-quick-gelu"], ["--ema"]]) {
    const { code, err } = await captureCli("inspect", "ViT-B-16", ...flags);
    expect(code).toBe(2);
    expect(err).toContain(
      "--config, --quick-gelu, --preprocessing and --ema are for weights: ViT-B-16 is a published model",
    );
  }
});
