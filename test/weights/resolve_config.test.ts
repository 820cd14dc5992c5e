import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHuggingFaceConfig } from "../../lib/weights/config/hugging_face_config";
import type { LayoutName } from "../../lib/weights/layouts/layout";
import { toOpenClipConfig } from "../../lib/weights/config/open_clip_config";
import { detectLayout } from "../../lib/weights/layouts/detect_layout";
import { type ConfigStatement, resolveConfig } from "../../lib/weights/config/resolve_config";
import { CLIP_PREPROCESSING } from "../../lib/image/preprocessing";
import type { TensorSource } from "../../lib/io/tensor_source";
import { type ClipConfig, parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import { modelConfig } from "../../lib/models/known_models";
import { tinyConfigs } from "../support/tiny_models";
import { storedShapesOf } from "./stored_shapes";

let root: string;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "eva-clip-config-"));
});
afterAll(() => rm(root, { recursive: true }));

/** Names and shapes of a file, in a folder with the given JSON files. */
async function found(
  config: ClipConfig,
  layout: LayoutName,
  beside: Record<string, unknown>,
  statement?: ConfigStatement,
  metadata: Record<string, string> = {},
): Promise<ClipConfig> {
  const folder = join(root, String(++folders));
  await mkdir(folder);
  for (const [name, json] of Object.entries(beside))
    await writeFile(join(folder, name), JSON.stringify(json));
  const tensors = storedShapesOf(new ClipModel(config), layout);
  const source = { path: join(folder, "model.safetensors"), metadata, tensors } as unknown as TensorSource;
  return resolveConfig(source, detectLayout(tensors.keys()), {
    preprocessing: CLIP_PREPROCESSING,
    ...statement,
  });
}

const eva = parseClipConfig(tinyConfigs.eva02);
const plain = parseClipConfig(tinyConfigs.plain);
const b32 = modelConfig("ViT-B-32");
const invalid = { code: "ERR_EVACLIP_INVALID_CONFIG" };

test("an eva-clip config.json, and the metadata of a file", async () => {
  expect(await found(eva, "eva_clip", { "config.json": tinyConfigs.eva02 })).toEqual(eva);
  expect(await found(eva, "open_clip", { "config.json": eva })).toEqual(eva);
  const metadata = { config: JSON.stringify(tinyConfigs.plain) };
  expect(await found(plain, "openai", {}, {}, metadata)).toEqual(plain);
});

test.each(["EVA01-CLIP-g-14-plus", "EVA02-CLIP-B-16", "EVA02-CLIP-L-14-336", "EVA02-CLIP-bigE-14-plus"])(
  "open_clip_config.json of %s names timm's tower, and leads back",
  async (name) => {
    const config = modelConfig(name);
    const json = toOpenClipConfig(config);
    expect(json).toMatchObject({
      model_cfg: { custom_text: true, vision_cfg: { timm_pool: "token", timm_proj: null } },
    });
    const { custom_text, ...back } = await found(config, "open_clip", { "open_clip_config.json": json });
    expect(custom_text).toBe(true);
    expect(JSON.stringify(new ClipModel(back).parameters())).toBe(
      JSON.stringify(new ClipModel(config).parameters()),
    );
    expect(back.vision_cfg).toEqual(config.vision_cfg);
  },
);

test("a plain tower's open_clip_config.json without quick_gelu means GELU", async () => {
  const json = toOpenClipConfig(b32);
  expect(JSON.stringify(json)).not.toMatch("quick_gelu");
  expect(await found(b32, "openai", { "open_clip_config.json": json })).toEqual(b32);
  const quick = modelConfig("ViT-B-32-quickgelu");
  expect(await found(b32, "openai", { "open_clip_config.json": toOpenClipConfig(quick) })).toEqual(quick);
});

test("a tower of timm that is not EVA-CLIP's is refused by name", async () => {
  const model_cfg = { embed_dim: 512, vision_cfg: { timm_model_name: "convnext_base" }, text_cfg: {} };
  const refused = found(b32, "openai", { "open_clip_config.json": { model_cfg } });
  await expect(refused).rejects.toMatchObject(invalid);
  await expect(refused).rejects.toThrow(/unknown image tower of timm convnext_base/);
});

test("transformers' config.json is read back, with its activation", async () => {
  for (const config of [plain, { ...plain, quick_gelu: false }]) {
    const back = await found(config, "hugging_face", { "config.json": toHuggingFaceConfig(config) });
    expect(back).toEqual(config);
  }
});

test("transformers omits its defaults: OpenAI's ViT-B/32", async () => {
  const json = { model_type: "clip", text_config: {}, vision_config: {} };
  expect(await found(b32, "hugging_face", { "config.json": json })).toEqual(
    modelConfig("ViT-B-32-quickgelu"),
  );
});

test("an EVA-CLIP configuration in transformers' manner", async () => {
  const json = {
    projection_dim: 24,
    text_config: {
      hidden_size: 16,
      intermediate_size: 64,
      num_attention_heads: 2,
      num_hidden_layers: 2,
      max_position_embeddings: 8,
      vocab_size: 32,
    },
    vision_config: {
      hidden_size: 32,
      intermediate_size: 64,
      num_attention_heads: 2,
      num_hidden_layers: 2,
      image_size: 28,
      patch_size: 14,
      layer_norm_eps: 1e-6,
      q_bias: false,
      use_rms_norm: true,
    },
  };
  const config = parseClipConfig(tinyConfigs["eva-8B"]);
  const back = await found(config, "hugging_face", { "config.json": json });
  expect(back.quick_gelu).toBe(false);
  expect(back.vision_cfg).toMatchObject({
    use_rms_norm: true,
    qkv_bias: false,
    postnorm: false,
    head_width: 16,
  });
  expect(new ClipModel(back).parameters()).toEqual(new ClipModel(config).parameters());
});

test.each([
  ["towers that differ in activation", { text_config: { hidden_act: "gelu" } }, /differ in hidden_act/],
  ["another activation", { text_config: { hidden_act: "relu" } }, /text_config\.hidden_act/],
  ["another epsilon", { vision_config: { layer_norm_eps: 1e-6 } }, /layer_norm_eps is 0\.000001/],
])("transformers: %s is refused", async (_, changes, message) => {
  const json = { text_config: {}, vision_config: {}, ...changes };
  const refused = found(b32, "hugging_face", { "config.json": json });
  await expect(refused).rejects.toMatchObject(invalid);
  await expect(refused).rejects.toThrow(message);
});

describe("what is stated", () => {
  test("a name or a whole configuration overrides every file", async () => {
    const beside = { "config.json": tinyConfigs.eva02 };
    const name = "ViT-B-32-quickgelu";
    expect(await found(b32, "openai", beside, { config: name })).toEqual(modelConfig(name));
    expect(await found(b32, "openai", beside, { config: tinyConfigs.plain })).toEqual(plain);
  });

  test("fields without embed_dim override those of the file's configuration", async () => {
    const config = { vision_cfg: { image_size: 32 } };
    const changed = await found(eva, "eva_clip", { "config.json": tinyConfigs.eva02 }, { config });
    expect(changed).toEqual({ ...eva, vision_cfg: { ...eva.vision_cfg, image_size: 32 } });
  });

  test("the activation, when it is unknown", async () => {
    await expect(found(b32, "openai", {})).rejects.toThrow(/state quick_gelu/);
    expect(await found(b32, "openai", {}, { quickGelu: false })).toEqual(b32);
    const stated = await found(b32, "openai", {}, { config: { quick_gelu: true } });
    expect(stated).toEqual(modelConfig("ViT-B-32-quickgelu"));
  });

  test.each<[string, Record<string, unknown>, ConfigStatement]>([
    ["a configuration beside the file", { "config.json": tinyConfigs.plain }, { quickGelu: false }],
    [
      "open_clip's, which means GELU",
      { "open_clip_config.json": toOpenClipConfig(b32) },
      { quickGelu: true },
    ],
    ["a name", {}, { config: "ViT-B-32", quickGelu: true }],
    ["a field", {}, { config: { quick_gelu: true }, quickGelu: false }],
  ])("contradicts %s: an error", async (_, beside, statement) => {
    const refused = found(b32, "openai", beside, statement);
    await expect(refused).rejects.toMatchObject(invalid);
    await expect(refused).rejects.toThrow(/because .* says so; quick_gelu (true|false) was stated/);
  });
});
