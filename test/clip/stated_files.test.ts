import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLIP_PREPROCESSING, EvaClip, type LoadOptions } from "eva-clip";
import { ClipTokenizer } from "eva-clip/data";
import { writeWeights } from "eva-clip/weights";
import { clipVocabulary } from "../../lib/text/clip_vocabulary";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors";
import { relativeError } from "../support/numbers";

const MODELS = join(__dirname, "../fixtures/models");
const cpu = { device: "cpu", threads: 1 } as const;
/** What the files without a configuration do not tell. */
const bare: LoadOptions = {
  ...cpu,
  quickGelu: false,
  preprocessing: CLIP_PREPROCESSING,
  config: { vision_cfg: { head_width: 16 }, text_cfg: { heads: 2 } },
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-stated-"));
});
afterEach(() => rm(folder, { recursive: true }));

const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code: `ERR_EVACLIP_${code}`, message: expect.stringMatching(message) });

async function expectFeatures(model: EvaClip, expected: string): Promise<void> {
  await using file = await openSafetensors(join(MODELS, `expected_${expected}.safetensors`));
  const [pixels, tokens, images, texts] = await Promise.all(
    ["pixels", "tokens", "image_features", "text_features"].map((name) => file.read(name)),
  );
  const raw = { normalize: false };
  const found = await model.encodePixels(pixels as Float32Array, 3, raw);
  expect(relativeError(found, images as Float32Array)).toBeLessThan(1e-5);
  const captions = await model.encodeTokens(tokens as Int32Array, 3, raw);
  expect(relativeError(captions, texts as Float32Array)).toBeLessThan(1e-5);
}

test.each(["orig_mod.safetensors", "meta_null.safetensors"])(
  "%s gives the model's features",
  async (name) => {
    await using model = await EvaClip.load(join(MODELS, name), bare);
    await expectFeatures(model, "main");
  },
);

test("transformers' text_config_dict and vision_config_dict win", async () => {
  await using model = await EvaClip.load(join(MODELS, "hf_config_dict"), cpu);
  expect(model.config.quick_gelu).toBe(true);
  await expectFeatures(model, "hf_config_dict");
});

const HALF = [0.5, 0.5, 0.5];
const stated = { mean: HALF, std: HALF, interpolation: "bilinear", resize_mode: "squash" };

/** Embeddings of a picture, and of pixels as bytes. */
async function ofImages(model: EvaClip): Promise<number[]> {
  const bytes = Uint8Array.from({ length: 3 * 8 * 8 }, (_, i) => (i * 37) % 256);
  const picture = await model.encodeImage(join(MODELS, "../image_rgb_wide.png"));
  return [...picture, ...(await model.encodePixels(bytes, 1))];
}

test("preprocess_cfg is honored: mean, deviation, interpolation and squashing", async () => {
  await using model = await EvaClip.load(join(MODELS, "oc_preprocess"), cpu);
  expect(model.preprocessing).toMatchObject(stated);
  await expectFeatures(model, "main");
  const bytes = Uint8Array.from({ length: 3 * 8 * 8 }, (_, i) => (i * 37) % 256);
  const floats = new Float32Array(bytes.length);
  bytes.forEach((value, i) => {
    floats[(i % 3) * 64 + Math.floor(i / 3)] = (value / 255 - 0.5) / 0.5;
  });
  const [fromBytes, fromFloats] = [await model.encodePixels(bytes, 1), await model.encodePixels(floats, 1)];
  expect(relativeError(fromBytes, fromFloats)).toBeLessThan(1e-5);
});

test.each(["openai", "open_clip", "hugging_face", "save"] as const)("%s keeps it", async (layout) => {
  await using model = await EvaClip.load(join(MODELS, "oc_preprocess"), cpu);
  if (layout === "save") await model.save(folder);
  else await writeWeights(folder, model.model, { layout });
  await using again = await EvaClip.load(folder, cpu);
  expect(again.preprocessing).toEqual(model.preprocessing);
  expect(await ofImages(again)).toEqual(await ofImages(model));
});

test("what a model's new folder stated before does not change the model written there", async () => {
  await cp(join(MODELS, "oc_preprocess/open_clip_config.json"), join(folder, "open_clip_config.json"));
  await using model = await EvaClip.load(join(MODELS, "hf_config_dict"), cpu);
  await model.save(folder);
  await using again = await EvaClip.load(folder, cpu);
  expect(again.preprocessing).toEqual(model.preprocessing);
});

test.each<[string, object, RegExp]>([
  ["open_clip_config.json", { preprocess_cfg: { interpolation: "nearest" } }, /interpolation.*"nearest"/],
  ["open_clip_config.json", { preprocess_cfg: { resize_mode: "crop" } }, /resize_mode.*"crop"/],
  ["open_clip_config.json", { preprocess_cfg: { mode: "L" } }, /mode.*"L"/],
  ["open_clip_config.json", { preprocess_cfg: { mean: [0.5] } }, /mean/],
  ["open_clip_config.json", { preprocess_cfg: { std: [1, 0, 1] } }, /std\.1/],
  ["open_clip_config.json", { preprocess_cfg: { size: [8, 16] } }, /size.*square/],
  ["preprocessor_config.json", { resample: 0 }, /resample must be .* found 0/],
  ["preprocessor_config.json", { do_resize: false }, /do_resize must be true/],
  ["preprocessor_config.json", { size: { longest_edge: 8 } }, /size/],
  ["preprocessor_config.json", { do_center_crop: false }, /do_center_crop must be true/],
])("%s with %j is refused by name", async (name, json, message) => {
  await cp(join(MODELS, "hf_config_dict"), folder, { recursive: true });
  await rm(join(folder, "preprocessor_config.json"));
  await writeFile(join(folder, name), JSON.stringify(json));
  await expect(EvaClip.load(folder, cpu)).rejects.toEqual(
    coded("INVALID_CONFIG", new RegExp(`${name.replace(".", "\\.")}.*${message.source}`)),
  );
});

test.each<[object, object]>([
  [
    { image_mean: HALF, image_std: HALF, resample: 2, size: { height: 8, width: 8 }, do_center_crop: false },
    stated,
  ],
  [
    { size: { shortest_edge: 10 }, crop_size: { height: 8, width: 8 } },
    { crop_pct: 0.8, resize_mode: "shortest" },
  ],
  [{ size: 8, crop_size: 8, image_mean: null }, {}],
  [{ do_normalize: false }, { mean: [0, 0, 0], std: [1, 1, 1] }],
  [
    { do_rescale: false, image_mean: [51, 51, 51], image_std: [255, 255, 255] },
    { mean: [0.2, 0.2, 0.2], std: [1, 1, 1] },
  ],
  [
    {
      image_processor_type: "SiglipImageProcessor",
      size: { height: 8, width: 8 },
      image_mean: HALF,
      image_std: HALF,
    },
    { mean: HALF, resize_mode: "squash" },
  ],
])("preprocessor_config.json %j is honored", async (json, expected) => {
  await cp(join(MODELS, "hf_config_dict"), folder, { recursive: true });
  await writeFile(join(folder, "preprocessor_config.json"), JSON.stringify(json));
  await using model = await EvaClip.load(folder, cpu);
  expect(model.preprocessing).toMatchObject(expected);
});

/** A folder with the model of hf_config_dict, whose configuration is changed, and other files. */
async function changed(change: (config: Record<string, Record<string, unknown>>) => void, files = {}) {
  await cp(join(MODELS, "hf_config_dict"), folder, { recursive: true });
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
  change(config);
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  for (const [name, json] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(json));
  return folder;
}

const vocab = Object.fromEntries(clipVocabulary().map((token, id) => [token, id]));
const merges = clipVocabulary().slice(512, -2);

describe("another tokenizer than CLIP's", () => {
  const tokenizer = { vocabularySize: 90, encode: () => [94, 3, 95] };

  test.each<[string, object, RegExp]>([
    [
      "a vocabulary in tokenizer.json",
      { "tokenizer.json": { model: { type: "BPE", vocab: { a: 0 }, merges: [] } } },
      /tokenizer/,
    ],
    [
      "a model in tokenizer.json that is no BPE",
      { "tokenizer.json": { model: { type: "Unigram", vocab: [["a", 0]] } } },
      /tokenizer/,
    ],
    [
      "a class",
      { "tokenizer_config.json": { tokenizer_class: "XLMRobertaTokenizer" } },
      /XLMRobertaTokenizer/,
    ],
    ["vocab.json alone", { "vocab.json": { a: 0 } }, /tokenizer/],
  ])("%s is refused, unless it is given", async (_, files, message) => {
    const path = await changed(() => undefined, files);
    await expect(EvaClip.load(path, cpu)).rejects.toEqual(coded("TOKENIZER", message));
    await using model = await EvaClip.load(path, { ...cpu, tokenizer });
    expect(await model.encodeText("a cat")).toHaveLength(16);
    await rm(join(path, Object.keys(files)[0]!));
    await model.save(path);
    await rm(join(path, "model.safetensors"));
    await model.save(path);
    await expect(EvaClip.load(path, cpu)).rejects.toEqual(coded("TOKENIZER", /tokenizer/));
  });

  test("metaclip_2's, which config.json tells", async () => {
    const path = await changed((config) => Object.assign(config, { model_type: "metaclip_2" }));
    await expect(EvaClip.load(path, cpu)).rejects.toEqual(coded("TOKENIZER", /metaclip_2, not CLIP's/));
  });

  test("CLIP's own class says that it is CLIP's, whatever the model is called", async () => {
    const files = { "tokenizer_config.json": { tokenizer_class: "CLIPTokenizerFast" } };
    const path = await changed((config) => Object.assign(config, { model_type: "other" }), files);
    await using model = await EvaClip.load(path, cpu);
    expect(model.embedDim).toBe(16);
  });

  test("CLIP's own vocabulary, in either form, is read, and with another order of merges is not", async () => {
    const normalizer = { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Lowercase" }] };
    const tokens = clipVocabulary();
    const split = pairs();
    const file = { normalizer, model: { type: "BPE", vocab, merges: split } };
    const path = await changed((config) => Object.assign(config, { model_type: "other" }), {
      "tokenizer.json": file,
    });
    await (await EvaClip.load(path, cpu)).dispose();
    const swapped = {
      ...file,
      model: { ...file.model, vocab: { ...vocab, [tokens[600]!]: 601, [tokens[601]!]: 600 } },
    };
    await writeFile(join(path, "tokenizer.json"), JSON.stringify(swapped));
    await expect(EvaClip.load(path, cpu)).rejects.toEqual(coded("TOKENIZER", /tokenizer/));
    await rm(join(path, "tokenizer.json"));
    await writeFile(join(path, "vocab.json"), JSON.stringify(vocab));
    await writeFile(join(path, "merges.txt"), ["#version: 0.2", ...split, ""].join("\n"));
    await (await EvaClip.load(path, cpu)).dispose();
  });
});

/** CLIP's merges as files of vocabularies write them. */
function pairs(): string[] {
  const tokens = new Set(clipVocabulary());
  return merges.map((token) => {
    const end = token.endsWith("</w>") ? token.length - 5 : token.length - 1;
    for (let at = 1; at <= end; at++) {
      if (tokens.has(token.slice(0, at)) && tokens.has(token.slice(at)))
        return `${token.slice(0, at)} ${token.slice(at)}`;
    }
    throw new Error(token);
  });
}

test("a configuration with another vocabulary, tokenizer or cleaning is refused before a model is made of it", async () => {
  const config = {
    embed_dim: 8,
    vision_cfg: { image_size: 8, patch_size: 4, layers: 1, width: 16, head_width: 8 },
    text_cfg: { context_length: 8, vocab_size: 50_000, width: 8, heads: 2, layers: 1 },
  };
  const withText = (text: object) => ({ ...config, text_cfg: { ...config.text_cfg, ...text } });
  await expect(EvaClip.create(config, cpu)).rejects.toEqual(coded("TOKENIZER", /50000 ids, CLIP's 49408/));
  const named = withText({ vocab_size: 49_408, hf_tokenizer_name: "bert-base-uncased" });
  await expect(EvaClip.create(named, cpu)).rejects.toEqual(coded("TOKENIZER", /bert-base-uncased/));
  const cleaned = withText({ vocab_size: 49_408, tokenizer_kwargs: { clean: "canonicalize" } });
  await expect(EvaClip.create(cleaned, cpu)).rejects.toEqual(coded("TOKENIZER", /clean "canonicalize"/));
  await using model = await EvaClip.create(config, { ...cpu, tokenizer: new ClipTokenizer() });
  await model.save(folder);
  await expect(EvaClip.load(folder, cpu)).rejects.toEqual(coded("TOKENIZER", /50000 ids/));
  const clips = withText({ hf_tokenizer_name: "openai/clip-vit-base-patch32" });
  await (await EvaClip.load(folder, { ...cpu, config: clips })).dispose();
});

describe("files that are none of a model", () => {
  test("nothing, and other values", async () => {
    await expect(EvaClip.load(join(folder, "none"))).rejects.toEqual(coded("IO", /none: it does not exist/));
    await expect(EvaClip.load(folder)).rejects.toEqual(coded("IO", /has no model/));
    for (const path of [new URL("file:///x"), Buffer.from("x"), undefined, 5, ""]) {
      await expect(EvaClip.load(path as string)).rejects.toEqual(
        coded("INVALID_ARGUMENT", /load: path must be/),
      );
    }
  });

  test.each<[object, RegExp]>([
    [{ dtype: "bf16" }, /has no field "dtype"/],
    [{ precison: "bf16" }, /did you mean precision/],
    [{ precision: "f16" }, /precision must be one of f32, bf16/],
    [{ device: "gpu" }, /device must be one of cpu, cuda, auto, or a Device, found "gpu"/],
    [{ threads: 0 }, /threads must be/],
    [{ init: "bogus" }, /init must be one of published, fan_in/],
    [{ quickGelu: "yes" }, /quickGelu must be true or false/],
    [{ tokenizer: {} }, /tokenizer must be a tokenizer/],
    [{ signal: 5 }, /signal must be an AbortSignal/],
  ])("options %j", async (options, message) => {
    const failing = EvaClip.load(join(MODELS, "oc_preprocess"), options as LoadOptions);
    await expect(failing).rejects.toEqual(coded("INVALID_ARGUMENT", message));
  });

  test("a ResNet CLIP", async () => {
    const path = join(folder, "rn50.safetensors");
    const names = ["visual.layer1.0.conv1.weight", "visual.attnpool.positional_embedding"];
    const texts = ["token_embedding.weight", "positional_embedding", "ln_final.weight"];
    await writeSafetensors(
      path,
      [...names, ...texts].map((name) => ({ name, dtype: "F32", shape: [1], data: new Float32Array(1) })),
    );
    for (const options of [cpu, bare, { ...cpu, config: "ViT-B-32" }]) {
      await expect(EvaClip.load(path, options)).rejects.toEqual(
        coded("INVALID_CONFIG", /rn50\.safetensors has a ResNet image tower \(visual\..* not supported/),
      );
    }
  });

  test("errors of a configuration name its file, and nulls say nothing", async () => {
    await cp(join(MODELS, "oc_preprocess"), folder, { recursive: true });
    const path = join(folder, "open_clip_config.json");
    const json = JSON.parse(await readFile(path, "utf8"));
    Object.assign(json.model_cfg.vision_cfg, {
      timm_model_name: null,
      ls_init_value: null,
      eva_model_name: null,
    });
    Object.assign(json.model_cfg, { quick_gelu: null, custom_text: null });
    Object.assign(json.preprocess_cfg, { fill_color: null });
    await writeFile(path, JSON.stringify(json));
    await (await EvaClip.load(folder, cpu)).dispose();
    json.model_cfg.vision_cfg.layers = "one";
    await writeFile(path, JSON.stringify(json));
    await expect(EvaClip.load(folder, cpu)).rejects.toEqual(
      coded("INVALID_CONFIG", /open_clip_config\.json is not valid: vision_cfg\.layers: .*"one"/),
    );
  });
});

test("saves at the same time leave one whole model, and nothing else", async () => {
  await using model = await EvaClip.load(join(MODELS, "oc_preprocess"), cpu);
  await using other = await EvaClip.load(join(MODELS, "hf_config_dict"), cpu);
  await Promise.all([model, other, model, other].map((each) => each.save(folder)));
  expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors"]);
  await using again = await EvaClip.load(folder, cpu);
  expect(await ofImages(again)).toEqual(await ofImages(other));
});

test("a save where no folder can be made ends", async () => {
  await using model = await EvaClip.load(join(MODELS, "oc_preprocess"), cpu);
  await expect(model.save("/proc/x/y")).rejects.toEqual(coded("IO", /cannot write \/proc\/x/));
  await writeFile(join(folder, "file"), "");
  await expect(model.save(join(folder, "file"))).rejects.toEqual(coded("IO", /there is a file of that name/));
  await expect(model.save(join(folder, "file/below"))).rejects.toEqual(coded("IO", /file/));
});
