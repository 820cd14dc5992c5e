import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayoutName } from "../../lib/weights/layouts/layout";
import type { LoadWeightsOptions } from "../../lib/weights/load_plan";
import type { LoadReport } from "../../lib/weights/load_report";
import { loadWeights } from "../../lib/weights/load_weights";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { openTensors } from "../../lib/io/open_tensors";
import { type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors";
import { readFloat32 } from "../../lib/io/tensor_source";
import { type ClipConfigInput, parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { resizePatches, resizePositions } from "../../lib/weights/interpolate";
import { initializeModel } from "../../lib/weights/initialize";
import { readFixture, tensorsBelow } from "../parity/fixture";
import { contentOf } from "../support/tiny_clip";
import { type TinyName, tinyConfigs } from "../support/tiny_models";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-load-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

async function madeModel(config: ClipConfigInput, seed: number): Promise<ClipModel> {
  const model = new ClipModel(parseClipConfig(config), { init: "fan_in" });
  await initializeModel(model, device, { seed });
  return model;
}

let files = 0;

/** Writes a small model; returns the model. */
async function written(name: TinyName, layout: LayoutName): Promise<{ path: string; model: ClipModel }> {
  const model = await madeModel(tinyConfigs[name], 1);
  const path = join(folder, `${++files}.safetensors`);
  await writeWeights(path, model, { layout });
  return { path, model };
}

async function load(model: ClipModel, path: string, options?: LoadWeightsOptions): Promise<LoadReport> {
  await using source = await openTensors(path);
  return await loadWeights(model, source, options);
}

/** A copy of a file with tensors renamed, added or left out. */
async function edited(path: string, edit: (tensors: Map<string, TensorToWrite>) => void): Promise<string> {
  await using source = await openTensors(path);
  const tensors = new Map<string, TensorToWrite>();
  for (const [name, tensor] of source.tensors) {
    tensors.set(name, { name, dtype: "F32", shape: tensor.shape, data: await readFloat32(tensor) });
  }
  edit(tensors);
  const target = join(folder, `${++files}.safetensors`);
  await writeSafetensors(target, tensors.values());
  return target;
}

const originOf = (report: LoadReport, name: string) => report.parameters.find((entry) => entry.name === name);
const names = (report: LoadReport, origin: string) =>
  report.parameters.filter((entry) => entry.origin === origin).map(({ name }) => name);

test("openai_vit of the reference fixtures, through its own layout", async () => {
  const fixture = await readFixture(join(__dirname, "..", "fixtures", "openai_vit.safetensors"));
  const weights = tensorsBelow(fixture, "weights/");
  const path = join(folder, "openai_vit.safetensors");
  await writeSafetensors(
    path,
    [...weights].map(([name, { shape, data }]) => ({ name, shape, data, dtype: "F32" as const })),
  );
  const model = await madeModel(fixture.config as ClipConfigInput, 5);
  const report = await load(model, path);
  expect(report.layout).toBe("openai");
  expect(names(report, "loaded")).toHaveLength(weights.size);
  const content = await contentOf(model.parameters());
  for (const [name, { data }] of weights) expect(content[name]).toEqual(Array.from(data));
});

test("a report names every parameter's source, and what was derived", async () => {
  const { path, model } = await written("eva02", "open_clip");
  const withTable = await edited(path, (tensors) => {
    const name = "visual.trunk.rope.freqs_cos";
    tensors.set(name, { name, dtype: "F32", shape: [2], data: new Float32Array(2) });
  });
  const other = await madeModel(tinyConfigs.eva02, 2);
  const report = await load(other, withTable);
  expect(await contentOf(other.parameters())).toEqual(await contentOf(model.parameters()));
  expect(report.parameters.map(({ name }) => name)).toEqual(other.parameters().map(({ name }) => name));
  expect(report).toMatchObject({
    path: withTable,
    layout: "open_clip",
    derived: ["visual.trunk.rope.freqs_cos"],
    unused: [],
  });
  expect(originOf(report, "visual.blocks.0.mlp.w1.weight")).toEqual({
    name: "visual.blocks.0.mlp.w1.weight",
    origin: "loaded",
    from: ["visual.trunk.blocks.0.mlp.fc1_g.weight"],
  });
});

test("projections that a file splits are joined in order", async () => {
  const { path } = await written("plain", "hugging_face");
  const other = await madeModel(tinyConfigs.plain, 2);
  const report = await load(other, path);
  const attention = "vision_model.encoder.layers.1.self_attn";
  expect(originOf(report, "visual.transformer.resblocks.1.attn.in_proj_bias")!.from).toEqual([
    `${attention}.q_proj.bias`,
    `${attention}.k_proj.bias`,
    `${attention}.v_proj.bias`,
  ]);
});

test("one tower of a file; the other may differ, and keeps its values", async () => {
  const { path, model } = await written("eva02", "eva_clip");
  const { text_cfg, ...config } = tinyConfigs.eva02;
  const other = await madeModel({ ...config, text_cfg: { ...text_cfg, layers: 3, width: 8 } }, 2);
  const before = await contentOf(other.parameters());
  const report = await load(other, path, { towers: "image" });
  const after = await contentOf(other.parameters());
  const source = await contentOf(model.parameters());
  for (const name of Object.keys(after)) {
    expect(after[name]).toEqual((name.startsWith("visual.") ? source : before)[name]);
  }
  expect(originOf(report, "logit_scale")).toMatchObject({ origin: "skipped", note: "not asked for" });
  expect(report.unused).toContain("text.positional_embedding");
  expect(report.unused).toContain("logit_scale");
});

test("an initialization run: an image tower of masked-image modeling, a text tower of another file", async () => {
  const image = await written("eva02", "eva_clip");
  const tower = await edited(image.path, (tensors) => {
    for (const [name, tensor] of [...tensors]) {
      tensors.delete(name);
      const stays = name.startsWith("visual.") && !/\.head\.|inner_attn_ln/.test(name);
      if (stays) tensors.set(name.slice(7), { ...tensor, name: name.slice(7) });
    }
    for (const name of ["mask_token", "lm_head.weight", "lm_head.bias"]) {
      tensors.set(name, { name, dtype: "F32", shape: [1, 32], data: new Float32Array(32) });
    }
  });
  const text = await written("plain", "hugging_face");
  const model = await madeModel(tinyConfigs.eva02, 3);
  const skip = ["head.weight", "head.bias", "text_projection", "logit_scale"];
  const norms = ["inner_attn_ln.weight", "inner_attn_ln.bias"];
  const fromImage = await load(model, tower, { towers: "image", skip, allowMissing: norms });
  expect(fromImage.layout).toBe("eva_mim");
  expect(fromImage.unused).toEqual(["lm_head.bias", "lm_head.weight", "mask_token"]);
  expect(names(fromImage, "missing")).toEqual(
    [0, 1].flatMap((i) => norms.map((name) => `visual.blocks.${i}.attn.${name}`)),
  );
  const fromText = await load(model, text.path, { towers: "text", skip });
  expect(originOf(fromText, "text.text_projection")).toMatchObject({
    origin: "skipped",
    note: "skipped by name",
  });
  expect(names(fromText, "loaded")).toHaveLength(model.text.parameters().length - 1);
  await expect(load(model, tower, { towers: "image", skip })).rejects.toThrow(
    /missing .*inner_attn_ln\.weight/,
  );
  await load(model, tower, { towers: "image", skip, allowMissing: true });
});

describe("resizing", () => {
  async function resized(
    name: TinyName,
    layout: LayoutName,
    changes: Partial<ClipConfigInput["vision_cfg"]>,
  ) {
    const { path, model } = await written(name, layout);
    const config: ClipConfigInput = tinyConfigs[name];
    const other = await madeModel({ ...config, vision_cfg: { ...config.vision_cfg, ...changes } }, 2);
    const report = await load(other, path);
    const [before, after] = [await contentOf(model.parameters()), await contentOf(other.parameters())];
    return { report, before, after };
  }

  test.each(["eva_clip", "open_clip"] as const)(
    "EVA's positions in %s, between outer edges",
    async (layout) => {
      const { report, before, after } = await resized("eva02", layout, { image_size: 24 });
      const name = "visual.pos_embed";
      expect(after[name]).toEqual(Array.from(resizePositions(Float32Array.from(before[name]!), 4, 6)));
      expect(originOf(report, name)).toMatchObject({
        origin: "resized",
        note: "grid 4 × 4 → 6 × 6, bicubic",
      });
      expect(names(report, "resized")).toEqual([name]);
    },
  );

  test.each(["openai", "hugging_face"] as const)(
    "CLIP's positions in %s, corners aligned",
    async (layout) => {
      const { report, before, after } = await resized("plain", layout, { image_size: 24 });
      const name = "visual.positional_embedding";
      const expected = resizePositions(Float32Array.from(before[name]!), 4, 6, { alignCorners: true });
      expect(after[name]).toEqual(Array.from(expected));
      expect(originOf(report, name)!.note).toMatch("corners aligned");
    },
  );

  test.each([
    ["eva01", 8, "visual.patch_embed.proj.weight"],
    ["eva01", 7, "visual.patch_embed.proj.weight"],
    ["plain", 8, "visual.conv1.weight"],
  ] as const)("patches of %s to %i pixels, at an equal grid", async (model, size, name) => {
    const layout = model === "plain" ? "openai" : "eva_clip";
    const { report, before, after } = await resized(model, layout, {
      image_size: 4 * size,
      patch_size: size,
    });
    expect(after[name]).toEqual(Array.from(resizePatches(Float32Array.from(before[name]!), 4, size)));
    expect(originOf(report, name)!.note).toBe(`patches of 4 → ${size} pixels, bicubic`);
    expect(names(report, "resized")).toEqual([name]);
  });

  test.each([
    [5, "the first 5 rows"],
    [11, "rows from 8 on start fresh"],
  ])("a context of 8 tokens becomes %i", async (length, note) => {
    const { path, model } = await written("eva02", "eva_clip");
    const { text_cfg, ...config } = tinyConfigs.eva02;
    const other = await madeModel({ ...config, text_cfg: { ...text_cfg, context_length: length } }, 2);
    const name = "text.positional_embedding";
    const fresh = (await contentOf(other.parameters()))[name]!;
    const report = await load(other, path);
    const rows = (await contentOf(model.parameters()))[name]!;
    const kept = Math.min(8, length) * 16;
    expect((await contentOf(other.parameters()))[name]).toEqual([
      ...rows.slice(0, kept),
      ...fresh.slice(kept),
    ]);
    expect(originOf(report, name)!.note).toBe(`context 8 → ${length}: ${note}`);
  });
});

describe("files that do not match", () => {
  test("missing, unknown, misshapen and integer tensors are named, and nothing changes", async () => {
    const { path } = await written("eva02", "open_clip");
    const bad = await edited(path, (tensors) => {
      tensors.delete("visual.trunk.blocks.0.mlp.fc1_g.bias");
      const extra = "visual.trunk.blocks.0.ls1.gamma";
      tensors.set(extra, { name: extra, dtype: "F32", shape: [1], data: new Float32Array(1) });
      const bias = "visual.trunk.head.bias";
      tensors.set(bias, { name: bias, dtype: "F32", shape: [7], data: new Float32Array(7) });
      const norm = "text.ln_final.weight";
      tensors.set(norm, { name: norm, dtype: "I32", shape: [16], data: new Int32Array(16) });
    });
    const model = await madeModel(tinyConfigs.eva02, 2);
    const before = await contentOf(model.parameters());
    const failed = load(model, bad);
    await expect(failed).rejects.toMatchObject({
      code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
      details: {
        missing: ["visual.blocks.0.mlp.w1.bias (stored as visual.trunk.blocks.0.mlp.fc1_g.bias)"],
        unexpected: ["visual.trunk.blocks.0.ls1.gamma"],
        misshapen: ["visual.trunk.head.bias (expected [24], found [7])"],
        notFloat: ["text.ln_final.weight (I32)"],
      },
    });
    await expect(failed).rejects.toThrow("missing visual.blocks.0.mlp.w1.bias");
    expect(await contentOf(model.parameters())).toEqual(before);
    const named = {
      allowMissing: ["mlp.w1.bias"],
      skip: ["ls1.gamma", "visual.head.bias", "ln_final.weight"],
    };
    const report = await load(model, bad, named);
    expect(names(report, "missing")).toEqual(["visual.blocks.0.mlp.w1.bias"]);
    expect(report.unused).toContain("visual.trunk.blocks.0.ls1.gamma");
  });

  test("another width is not resized", async () => {
    const { path } = await written("eva02", "eva_clip");
    const { vision_cfg, ...config } = tinyConfigs.eva02;
    const model = await madeModel({ ...config, vision_cfg: { ...vision_cfg, width: 48, image_size: 24 } }, 2);
    await expect(load(model, path)).rejects.toThrow(
      /visual\.pos_embed \(expected \[1, 37, 48\], found \[1, 17, 32\]\)/,
    );
  });

  test("a tower that is not in the file is missing, unless only the other was asked for", async () => {
    const { path } = await written("plain", "hugging_face");
    const textOnly = await edited(path, (tensors) => {
      for (const name of tensors.keys()) if (/^(vision|visual)/.test(name)) tensors.delete(name);
    });
    const model = await madeModel(tinyConfigs.plain, 2);
    await expect(load(model, textOnly)).rejects.toThrow(
      /missing visual\.class_embedding \(stored as vision_model/,
    );
    await load(model, textOnly, { towers: "text" });
  });

  test("an aborted signal rejects with its reason", async () => {
    const { path } = await written("eva01", "eva_clip");
    const reason = new Error("no longer wanted");
    const model = await madeModel(tinyConfigs.eva01, 2);
    await expect(load(model, path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
