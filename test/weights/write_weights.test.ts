import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayoutName } from "../../lib/weights/layouts/layout";
import { loadWeights } from "../../lib/weights/load_weights";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { openTensors } from "../../lib/io/open_tensors";
import { readFloat32 } from "../../lib/io/tensor_source";
import { CLIP_PREPROCESSING } from "../../lib/image/preprocessing";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import { allocateModel, initializeModel } from "../../lib/weights/initialize";
import { contentOf } from "../support/tiny_clip";
import { type TinyName, tinyModel, tinyNames } from "../support/tiny_models";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-write-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

async function made(name: TinyName, dtype: "f32" | "bf16" = "f32"): Promise<ClipModel> {
  const model = tinyModel(name);
  await initializeModel(model, device, { seed: 1, dtype });
  return model;
}

async function reread(path: string, name: TinyName, dtype: "f32" | "bf16" = "f32"): Promise<ClipModel> {
  const model = tinyModel(name);
  allocateModel(model, device, { dtype });
  await using source = await openTensors(path);
  await loadWeights(model, source);
  return model;
}

const layoutsOf = (name: TinyName): LayoutName[] =>
  name === "plain" ? ["openai", "open_clip", "hugging_face"] : ["eva_clip", "open_clip"];
const pairs = tinyNames.flatMap((name) => layoutsOf(name).map((layout) => [name, layout] as const));

describe.each(pairs)("%s as %s", (name, layout) => {
  test.each(["f32", "bf16"] as const)("every bit of %s weights comes back", async (dtype) => {
    const model = await made(name, dtype);
    const path = join(folder, `${name}-${layout}-${dtype}`);
    await writeWeights(path, model, { layout });
    const other = await reread(path, name, dtype);
    expect(await contentOf(other.parameters())).toEqual(await contentOf(model.parameters()));
  });

  test.each([
    ["f16", 2 ** -11],
    ["bf16", 2 ** -8],
  ] as const)(
    "as %s: the rounding of that type, and nothing lost in a second turn",
    async (dtype, rounding) => {
      const model = await made(name);
      const path = join(folder, `${name}-${layout}-as-${dtype}`);
      await writeWeights(path, model, { layout, dtype });
      await using source = await openTensors(path);
      for (const tensor of source.tensors.values()) expect(tensor.dtype).toBe(dtype.toUpperCase());
      const narrow = await reread(path, name);
      const [exact, rounded] = [await contentOf(model.parameters()), await contentOf(narrow.parameters())];
      const bound = (value: number) => Math.abs(value) * rounding + 2 ** -25;
      const worst = Object.entries(exact).filter(([key, values]) =>
        values.some((value, i) => Math.abs(rounded[key]![i]! - value) > bound(value)),
      );
      expect(worst).toEqual([]);
      await writeWeights(`${path}-again`, narrow, { layout, dtype });
      expect(await contentOf((await reread(`${path}-again`, name)).parameters())).toEqual(rounded);
    },
  );
});

test("a folder has the file names that the layout's programs expect", async () => {
  const [eva, plain] = [await made("eva02"), await made("plain")];
  const at = (name: string) => join(folder, name);
  const json = async (path: string | undefined) => JSON.parse(await readFile(path!, "utf8"));
  expect(await writeWeights(at("own"), eva)).toEqual([at("own/model.safetensors"), at("own/config.json")]);
  expect(await json(at("own/config.json"))).toEqual({ ...eva.config, preprocess_cfg: CLIP_PREPROCESSING });
  const openClip = await writeWeights(at("open-clip"), plain, { layout: "open_clip" });
  expect(openClip).toEqual([
    at("open-clip/open_clip_model.safetensors"),
    at("open-clip/open_clip_config.json"),
  ]);
  expect(await json(openClip[1])).toMatchObject({
    model_cfg: { quick_gelu: true, vision_cfg: { layers: 2 } },
  });
  const file = await writeWeights(at("named/plain.safetensors"), plain, { layout: "hugging_face" });
  expect(file).toEqual(
    ["plain.safetensors", "config.json", "preprocessor_config.json"].map((name) => at(`named/${name}`)),
  );
  expect(await json(file[1])).toMatchObject({
    model_type: "clip",
    vision_config: { hidden_act: "quick_gelu" },
  });
});

test("an EVA tower that timm does not have keeps its own configuration beside OpenCLIP's names", async () => {
  const written = await writeWeights(join(folder, "unknown"), await made("eva02"), { layout: "open_clip" });
  expect(written[1]).toBe(join(folder, "unknown/config.json"));
});

test("rotary tables are the reference's, for the tower and every block", async () => {
  const model = await made("eva02");
  const path = join(folder, "tables.safetensors");
  await writeWeights(path, model, { ropeTables: true });
  await using source = await openTensors(path);
  const tables = [...source.tensors.keys()].filter((name) => name.includes("rope.freqs"));
  expect(tables).toHaveLength(2 * (1 + 2));
  const cos = await readFloat32(source.tensors.get("visual.blocks.1.attn.rope.freqs_cos")!);
  const sin = await readFloat32(source.tensors.get("visual.rope.freqs_sin")!);
  // A grid of 4 measured on 16 steps by 4; a head of 16 has 4 frequencies an axis, the row's in its first half.
  for (const [row, column, j] of [
    [0, 1, 8],
    [1, 0, 0],
    [3, 2, 5],
    [2, 3, 15],
  ] as const) {
    const position = 4 * (j < 8 ? row : column);
    const angle = position * 10_000 ** ((-2 * Math.floor((j % 8) / 2)) / 8);
    expect(cos[(row * 4 + column) * 16 + j]).toBeCloseTo(Math.cos(angle), 5);
    expect(sin[(row * 4 + column) * 16 + j]).toBeCloseTo(Math.sin(angle), 5);
  }
  await loadWeights(model, source);
});

test("layouts that a model is not written in are refused, naming those that it is", async () => {
  const eva = new ClipModel(modelConfig("EVA02-CLIP-B-16"));
  const plain = new ClipModel(modelConfig("ViT-B-32"));
  const refused = (model: ClipModel, layout: LayoutName) =>
    expect(writeWeights(join(folder, "none"), model, { layout })).rejects;
  await refused(eva, "openai").toThrow(/can be written as eva_clip, open_clip, not as openai/);
  await refused(eva, "eva_mim").toMatchObject({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
  await refused(plain, "eva_clip").toThrow(/can be written as open_clip, openai, hugging_face/);
});
