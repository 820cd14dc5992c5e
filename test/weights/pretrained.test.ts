import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayoutName } from "../../lib/weights/layouts/layout";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { writeSafetensors } from "../../lib/io/safetensors";
import { type ClipConfigInput, parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { resizePatches, resizePositions } from "../../lib/weights/interpolate";
import { initializeModel } from "../../lib/weights/initialize";
import { loadPretrained, type Pretrained } from "../../lib/weights/pretrained";
import { tinyConfig } from "../support/tiny_clip";
import { type TinyName, tinyModel } from "../support/tiny_models";

const { vision_cfg: vision, text_cfg: text } = tinyConfig;
/** The head of masked-image modeling, which EVA's own towers have. */
const MIM_HEAD = { mask_token: [1, 1, 32], "lm_head.weight": [5, 32], "lm_head.bias": [5] };
/** Facts that OpenAI's archives hold beside the weights. */
const ARCHIVE = { input_resolution: [], context_length: [], vocab_size: [] };

let device: Device;
let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-pretrained-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const open: ClipModel[] = [];
afterEach(() => {
  for (const model of open.splice(0)) model.dispose();
});

async function modelOf(config: ClipConfigInput, seed: number): Promise<ClipModel> {
  const model = new ClipModel(parseClipConfig(config), { init: "fan_in" });
  open.push(model);
  await initializeModel(model, device, { seed });
  return model;
}

const configWith = (
  image: Partial<typeof vision>,
  captions: Partial<typeof text> = {},
  more: Partial<ClipConfigInput> = {},
): ClipConfigInput => ({
  ...tinyConfig,
  ...more,
  vision_cfg: { ...vision, ...image },
  text_cfg: { ...text, ...captions },
});

type Values = Map<string, Float32Array>;

async function valuesOf(model: ClipModel): Promise<Values> {
  const values: Values = new Map();
  for (const parameter of model.parameters()) {
    values.set(parameter.name, (await parameter.read()).data as Float32Array);
  }
  return values;
}

/** Writes the parameters that `rename` returns a name for, and other tensors of such a file. */
async function writeTower(
  name: string,
  model: ClipModel,
  rename: (name: string) => string | undefined,
  extra: Record<string, number[]> = {},
): Promise<string> {
  const tensors = model.parameters().flatMap((parameter) => {
    const stored = rename(parameter.name);
    if (stored === undefined) return [];
    const data = async () => (await parameter.read()).data as Float32Array;
    return [{ name: stored, shape: parameter.shape, dtype: "F32" as const, data }];
  });
  const more = Object.entries(extra).map(([stored, shape]) => ({
    name: stored,
    shape,
    dtype: "F32" as const,
    data: async () => new Float32Array(shape.reduce((size, dim) => size * dim, 1)).fill(7),
  }));
  await writeSafetensors(path(name), [...tensors, ...more], {});
  return path(name);
}

const below = (front: string) => (name: string) =>
  name.startsWith(front) ? name.slice(front.length) : undefined;
const mimTower = (name: string) => (/^visual\.head/.test(name) ? undefined : below("visual.")(name));
const textTower = below("text.");

/** Each parameter's name and origin. */
const originsOf = ({ parameters }: Awaited<ReturnType<typeof loadPretrained>>) =>
  Object.fromEntries(parameters.map(({ name, origin }) => [name, origin]));

describe("a masked-image-modeling tower and a text tower of OpenAI", () => {
  /** Sources of 16 x 16 pixels, patches of 4, captions of 8; the model is as given. */
  async function started(config: ClipConfigInput) {
    const source = await modelOf(configWith({}), 1);
    const image = await writeTower("mim.safetensors", source, mimTower, MIM_HEAD);
    const captions = await writeTower("text.safetensors", source, textTower);
    const model = await modelOf(config, 2);
    const fresh = await valuesOf(model);
    const pretrained: Pretrained = {
      image: { path: image },
      text: { path: captions, activation: "any" },
    };
    const report = await loadPretrained(model, pretrained);
    return { report, model, fresh, source: await valuesOf(source), values: await valuesOf(model) };
  }

  test("are loaded into both towers, except head, projection and logit scale", async () => {
    const { report, fresh, source, values } = await started(configWith({}));
    const skipped = ["logit_scale", "visual.head.weight", "visual.head.bias", "text.text_projection"];
    for (const [name, value] of values) {
      expect([name, value]).toEqual([name, (skipped.includes(name) ? fresh : source).get(name)]);
    }
    expect(report.parameters.map(({ name }) => name)).toEqual([...values.keys()]);
    const initial = report.parameters.filter(({ origin }) => origin === "initial");
    expect(initial.map(({ name }) => name).sort()).toEqual(skipped.sort());
    expect(initial.find(({ name }) => name === "logit_scale")!.note).toBe("constant 2.65926");
    expect(report.sources).toMatchObject([
      {
        towers: "image",
        layout: "eva_mim",
        unused: expect.arrayContaining(["mask_token", "lm_head.weight"]),
      },
      { towers: "text", unused: ["text_projection"] },
    ]);
    expect(report.parameters.find(({ name }) => name === "visual.blocks.1.norm1.bias")).toEqual({
      name: "visual.blocks.1.norm1.bias",
      block: 1,
      origin: "loaded",
      path: path("mim.safetensors"),
      from: ["blocks.1.norm1.bias"],
    });
  });

  test("a larger image: positions are resized to its grid", async () => {
    const { report, model, source, values } = await started(configWith({ image_size: 24 }));
    const expected = resizePositions(source.get("visual.pos_embed")!, 4, 6);
    expect(values.get("visual.pos_embed")).toEqual(expected);
    expect(originsOf(report)["visual.pos_embed"]).toBe("resized");
    expect(model.image.imageSize).toBe(24);
  });

  test("other patches and another grid: the projection is resized as well", async () => {
    const { report, source, values } = await started(configWith({ image_size: 24, patch_size: 8 }));
    const patches = "visual.patch_embed.proj.weight";
    expect(values.get(patches)).toEqual(resizePatches(source.get(patches)!, 4, 8));
    expect(values.get("visual.pos_embed")).toEqual(resizePositions(source.get("visual.pos_embed")!, 4, 3));
    expect(originsOf(report)).toMatchObject({ [patches]: "resized", "visual.pos_embed": "resized" });
  });

  test("other patches on the same grid: the projection alone is resized", async () => {
    const { report, source, values } = await started(configWith({ image_size: 32, patch_size: 8 }));
    const patches = "visual.patch_embed.proj.weight";
    expect(values.get(patches)).toEqual(resizePatches(source.get(patches)!, 4, 8));
    expect(values.get("visual.pos_embed")).toEqual(source.get("visual.pos_embed"));
    expect(originsOf(report)).toMatchObject({ [patches]: "resized", "visual.pos_embed": "loaded" });
  });

  test("a longer context keeps the trained positions and initializes the rest; a shorter one keeps the first", async () => {
    const positions = "text.positional_embedding";
    const longer = await started(configWith({}, { context_length: 12 }));
    const trained = longer.source.get(positions)!;
    const found = longer.values.get(positions)!;
    expect(found.subarray(0, trained.length)).toEqual(trained);
    expect(found.subarray(trained.length)).toEqual(longer.fresh.get(positions)!.subarray(trained.length));
    expect(longer.report.parameters.find(({ name }) => name === positions)).toMatchObject({
      origin: "resized",
      note: expect.stringContaining("8 → 12"),
    });
    const shorter = await started(configWith({}, { context_length: 5 }));
    expect(shorter.values.get(positions)).toEqual(trained.subarray(0, 5 * 16));
  });
});

describe("a tower from a whole model in another layout", () => {
  /** The parameters of a tower that the file filled, by their values. */
  async function started(from: TinyName, layout: LayoutName, to: TinyName, tower: "image" | "text") {
    const source = tinyModel(from);
    const model = tinyModel(to);
    open.push(source, model);
    await initializeModel(source, device, { seed: 1 });
    await initializeModel(model, device, { seed: 2 });
    const file = path(`${from}-${layout}`);
    await writeWeights(file, source, { layout });
    const report = await loadPretrained(model, { [tower]: { path: file, activation: "any" } });
    return { report, source: await valuesOf(source), values: await valuesOf(model) };
  }

  test.each(["openai", "hugging_face"] as const)("the text tower of a plain CLIP, %s", async (layout) => {
    const { report, source, values } = await started("plain", layout, "eva02", "text");
    const loaded = report.parameters.filter(({ origin }) => origin === "loaded").map(({ name }) => name);
    expect(loaded.sort()).toEqual(
      [...values.keys()].filter((name) => /^text\.(?!text_projection)/.test(name)).sort(),
    );
    for (const name of loaded) expect(values.get(name)).toEqual(source.get(name.slice("text.".length)));
  });

  test.each(["eva_clip", "open_clip"] as const)("the image tower of an EVA-CLIP, %s", async (layout) => {
    const { report, source, values } = await started("eva02", layout, "eva02", "image");
    const loaded = report.parameters.filter(({ origin }) => origin === "loaded").map(({ name }) => name);
    expect(loaded.sort()).toEqual([...values.keys()].filter((name) => /^visual\.(?!head)/.test(name)).sort());
    for (const name of loaded) expect(values.get(name)).toEqual(source.get(name));
  });

  test("an image tower of another family matches no parameter", async () => {
    await expect(started("plain", "openai", "eva02", "image")).rejects.toMatchObject({
      code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
      message: expect.stringContaining("visual.cls_token"),
    });
  });
});

test("tower weights override the whole model's; a skip list replaces the default", async () => {
  const [whole, tower] = [await modelOf(configWith({}), 3), await modelOf(configWith({}), 4)];
  const model = await modelOf(configWith({}), 5);
  const report = await loadPretrained(model, {
    model: { path: await writeTower("whole.safetensors", whole, (name) => name) },
    image: { path: await writeTower("tower.safetensors", tower, (name) => name), skip: ["norm1.bias"] },
  });
  const values = await valuesOf(model);
  const [ofWhole, ofTower] = [await valuesOf(whole), await valuesOf(tower)];
  expect(values.get("logit_scale")).toEqual(ofWhole.get("logit_scale"));
  expect(values.get("text.text_projection")).toEqual(ofWhole.get("text.text_projection"));
  expect(values.get("visual.head.weight")).toEqual(ofTower.get("visual.head.weight"));
  expect(values.get("visual.blocks.0.norm1.bias")).toEqual(ofWhole.get("visual.blocks.0.norm1.bias"));
  const pathOf = (name: string) => report.parameters.find((start) => start.name === name)!.path;
  expect(pathOf("visual.cls_token")).toBe(path("tower.safetensors"));
  expect(pathOf("visual.blocks.0.norm1.bias")).toBe(path("whole.safetensors"));
  expect(report.parameters.filter(({ origin }) => origin === "initial")).toEqual([]);
});

test("a missing tensor is an error that names it", async () => {
  const source = await modelOf(configWith({}), 1);
  const lacking = (name: string) => (name === "visual.blocks.1.mlp.w3.weight" ? undefined : mimTower(name));
  const file = await writeTower("lacking.safetensors", source, lacking);
  await expect(
    loadPretrained(await modelOf(configWith({}), 2), { image: { path: file } }),
  ).rejects.toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    message: expect.stringContaining("blocks.1.mlp.w3.weight"),
  });
});

describe("the activation that text weights were trained with", () => {
  async function load(
    { extra = {}, config }: { extra?: Record<string, number[]>; config?: unknown },
    activation: "gelu" | "quick_gelu" | "any" | undefined,
    quickGelu: boolean,
  ) {
    const sub = await mkdtemp(join(folder, "activation-"));
    const source = await modelOf(configWith({}), 1);
    const name = join(sub.slice(folder.length + 1), "text.safetensors");
    const file = await writeTower(name, source, textTower, extra);
    if (config !== undefined) await writeFile(join(sub, "config.json"), JSON.stringify(config));
    const model = await modelOf(configWith({}, {}, { quick_gelu: quickGelu }), 2);
    return loadPretrained(model, { text: { path: file, ...(activation && { activation }) } });
  }
  /** A start in which a tower's first block came from its file. */
  const loaded = (towers: "image" | "text") => {
    const block = towers === "image" ? "visual.blocks.0" : "text.transformer.resblocks.0";
    const norm = `${block}.${towers === "image" ? "norm1" : "ln_1"}.weight`;
    const parameters = expect.arrayContaining([expect.objectContaining({ name: norm, origin: "loaded" })]);
    return { sources: [{ towers }], parameters };
  };
  const invalid = (message: RegExp) => ({
    code: "ERR_EVACLIP_INVALID_CONFIG",
    message: expect.stringMatching(message),
  });

  test("has to be passed when it is unknown", async () => {
    await expect(load({}, undefined, false)).rejects.toMatchObject(invalid(/cannot tell the activation/));
    await expect(load({}, "gelu", false)).resolves.toMatchObject(loaded("text"));
    await expect(load({}, "quick_gelu", true)).resolves.toMatchObject(loaded("text"));
  });

  test("of OpenAI's archives is QuickGELU, which a GELU model refuses unless the check is skipped", async () => {
    const archive = { extra: ARCHIVE };
    await expect(load(archive, undefined, false)).rejects.toMatchObject(
      invalid(/trained with QuickGELU \(OpenAI trained with it\), but the model computes GELU/),
    );
    await expect(load(archive, "gelu", false)).rejects.toMatchObject(
      invalid(/needs QuickGELU.*gelu was passed/),
    );
    await expect(load(archive, undefined, true)).resolves.toMatchObject(loaded("text"));
    await expect(load(archive, "any", false)).resolves.toMatchObject(loaded("text"));
  });

  test("of transformers' text tower is in its configuration", async () => {
    const config = { model_type: "clip_text_model", hidden_act: "quick_gelu" };
    await expect(load({ config }, undefined, false)).rejects.toMatchObject(
      invalid(/config\.json next to it says so/),
    );
    await expect(load({ config }, undefined, true)).resolves.toMatchObject(loaded("text"));
  });

  test("does not matter to EVA's image towers", async () => {
    const source = await modelOf(configWith({}), 1);
    const file = await writeTower("image.safetensors", source, mimTower);
    const model = await modelOf(configWith({}, {}, { quick_gelu: true }), 2);
    await expect(loadPretrained(model, { image: { path: file } })).resolves.toMatchObject(loaded("image"));
  });
});

test("weights that state another normalization or tokenizer than the model's are refused, and taken where they agree", async () => {
  const stating = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
  const source = await modelOf(configWith({}, {}, { preprocess_cfg: stating }), 5);
  const [weights] = await writeWeights(path("stating"), source);
  const plain = await modelOf(configWith({}), 6);
  const refused = {
    code: "ERR_EVACLIP_INVALID_CONFIG",
    message: expect.stringMatching(/config\.json states another mean and std/),
  };
  await expect(loadPretrained(plain, { image: { path: weights! } })).rejects.toMatchObject(refused);
  await loadPretrained(plain, { text: { path: weights!, activation: "any" } });
  await loadPretrained(await modelOf(source.config, 7), { image: { path: weights! } });

  await writeFile(
    path("stating", "tokenizer_config.json"),
    JSON.stringify({ tokenizer_class: "BertTokenizer" }),
  );
  await expect(loadPretrained(plain, { text: { path: weights!, activation: "any" } })).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_CONFIG",
    message: expect.stringMatching(/was not trained with the model's tokenizer: .*BertTokenizer/),
  });
});

test("arguments are checked", async () => {
  const model = await modelOf(configWith({}), 5);
  const failing = { code: "ERR_EVACLIP_INVALID_ARGUMENT" };
  for (const given of [
    undefined,
    { model: "path" },
    { imgae: { path: "x" } },
    { image: { path: 5 } },
    { text: { path: "x", skip: "head" } },
  ]) {
    await expect(loadPretrained(model, given as Pretrained)).rejects.toMatchObject(failing);
  }
  await expect(loadPretrained({} as ClipModel, {})).rejects.toMatchObject(failing);
});
