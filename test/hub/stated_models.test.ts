import { CLIP_PREPROCESSING, EvaClip, type LoadOptions } from "eva-clip";
import { captureCli } from "../support/run_cli";
import { refused, serve, useHub, world } from "./hub_fixture";
import { embeddings, filesOf, smallModel } from "./small_model";

useHub();
const cpu: LoadOptions = { device: "cpu", threads: 1 };
const load = (more: LoadOptions = {}) => EvaClip.load("hf-hub:a/b", { ...cpu, ...more });

describe("a model of another family is refused before its weights are downloaded", () => {
  const siglip = {
    embed_dim: 768,
    init_logit_bias: -10,
    custom_text: true,
    vision_cfg: {
      image_size: 224,
      timm_model_name: "vit_base_patch16_siglip_224",
      timm_pool: "map",
      timm_proj: "none",
    },
    text_cfg: {
      ...{
        context_length: 64,
        vocab_size: 32000,
        hf_tokenizer_name: "timm/ViT-B-16-SigLIP",
        width: 768,
        heads: 12,
      },
      ...{ layers: 12, no_causal_mask: true, proj_bias: true, pool_type: "last" },
    },
  };
  const pe = {
    embed_dim: 1024,
    vision_cfg: {
      image_size: 224,
      timm_model_name: "vit_pe_core_base_patch16_224",
      timm_pool: "map",
      timm_proj: null,
    },
    text_cfg: { context_length: 32, vocab_size: 49408, width: 1024, heads: 16, layers: 24 },
    custom_text: true,
  };
  const preprocess_cfg = {
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
    interpolation: "bicubic",
    resize_mode: "squash",
  };
  const openClip = (model_cfg: unknown) => ({ "open_clip_config.json": { model_cfg, preprocess_cfg } });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "ViT-B-16-SigLIP",
      openClip(siglip),
      /open_clip_config\.json describes a SigLIP model \(vit_base_patch16_siglip_224\), which is not supported/,
    ],
    [
      "PE-Core-B-16",
      openClip(pe),
      /describes a PE \(Perception Encoder\) model \(vit_pe_core_base_patch16_224\)/,
    ],
    ["CoCa", openClip({ ...pe, vision_cfg: {}, multimodal_cfg: {} }), /describes a CoCa model/],
    [
      "transformers' SigLIP",
      { "config.json": { model_type: "siglip", text_config: {} } },
      /config\.json describes a SigLIP model \(siglip\)/,
    ],
  ])("%s", async (_, stated, message) => {
    const files = Object.fromEntries(
      Object.entries(stated).map(([name, json]) => [name, JSON.stringify(json)]),
    );
    serve({ files: { ...files, "open_clip_model.safetensors": Buffer.alloc(5000) } });
    await expect(load()).rejects.toEqual(refused("INVALID_CONFIG", message));
    expect(world.hub.log.some(({ host }) => host === "storage")).toBe(false);
  });
});

describe("preprocessing", () => {
  test("that no file states is an error that says which option to pass", async () => {
    const { files, expected } = await smallModel("open_clip");
    const { preprocess_cfg, ...rest } = JSON.parse(files["open_clip_config.json"]!.toString());
    serve({ files: { ...files, "open_clip_config.json": JSON.stringify(rest) } });
    const message =
      /cannot tell the preprocessing of .*: no file states it, .*pass preprocessing with mean, std, interpolation, resize_mode/;
    await expect(load()).rejects.toEqual(refused("INVALID_CONFIG", message));
    const words = ["encode", "hf-hub:a/b", "--text", "a cat", "--device", "cpu", "--json"];
    const failed = await captureCli(...words);
    expect([failed.code, failed.err]).toEqual([1, expect.stringMatching(message)]);
    await using model = await load({ preprocessing: CLIP_PREPROCESSING });
    expect(await embeddings(model)).toEqual(expected);
    expect((await captureCli(...words, "--preprocessing", "clip")).code).toBe(0);
    expect(preprocess_cfg.mean).toEqual(CLIP_PREPROCESSING.mean);
  });

  test("that files state is used, and changed field by field by the option", async () => {
    const { files } = await smallModel("open_clip");
    const json = JSON.parse(files["open_clip_config.json"]!.toString());
    Object.assign(json.preprocess_cfg, {
      mean: [0.1, 0.2, 0.3],
      interpolation: "bilinear",
      resize_mode: "squash",
    });
    serve({ files: { ...files, "open_clip_config.json": JSON.stringify(json) } });
    await using model = await load({ preprocessing: { resize_mode: "longest", fill_color: 9 } });
    expect(model.preprocessing).toEqual({
      ...{ mean: [0.1, 0.2, 0.3], std: CLIP_PREPROCESSING.std, interpolation: "bilinear" },
      ...{ resize_mode: "longest", fill_color: 9, crop_pct: 1 },
    });
    for (const wrong of [{ mean: [0.5] }, { resize_mode: "crop" }, { maen: HALF }])
      await expect(load({ preprocessing: wrong as never })).rejects.toEqual(
        refused("INVALID_CONFIG", /preprocessing is not valid/),
      );
    await expect(load({ preprocessing: "clip" as never })).rejects.toEqual(
      refused("INVALID_ARGUMENT", /preprocessing must be/),
    );
  });
});

const HALF = [0.5, 0.5, 0.5];

test.each(["eva_clip", "open_clip", "hugging_face"] as const)(
  "%s: by name as from its folder",
  async (layout) => {
    const { files, expected } = await smallModel(layout);
    serve({ files });
    await using model = await load();
    expect(await embeddings(model)).toEqual(expected);
    expect(model.loadReport!.path).toMatch(/models--a--b\/snapshots\/[0-9a-f]{40}\/[^/]+$/);
  },
);

test("a moved branch: each commit is its own model", async () => {
  const [one, other] = [await smallModel("open_clip", 3), await smallModel("open_clip", 4)];
  serve({ files: one.files });
  await using first = await load();
  expect(await embeddings(first)).toEqual(one.expected);
  serve({ files: other.files, revisions: { main: "f".repeat(40) } });
  await using second = await load();
  expect(await embeddings(second)).toEqual(other.expected);
  process.env.HF_HUB_OFFLINE = "1";
  await using cached = await load();
  expect(await embeddings(cached)).toEqual(other.expected);
});

test("the command line: encode, inspect and convert take names", async () => {
  const { files, expected, folder } = await smallModel("open_clip");
  serve({ files });
  const encoded = await captureCli("encode", "hf-hub:a/b", "--text", "a cat", "--device", "cpu", "--json");
  const { embeddings: found } = JSON.parse(encoded.out) as { embeddings: { embedding: number[] }[] };
  expect(found[0]!.embedding).toEqual(expected.slice(-found[0]!.embedding.length));
  expect(encoded.err).toMatch(/^hf-hub:a\/b: f32 on cpu$/m);
  const inspected = await captureCli("inspect", "hf-hub:a/b", "--json");
  expect(JSON.parse(inspected.out)).toMatchObject({ layout: "openai", config: { embed_dim: 8 } });
  expect((await captureCli("convert", "hf-hub:a/b", `${folder}-converted`)).code).toBe(0);
  expect(Object.keys(await filesOf(`${folder}-converted`))).toContain("model.safetensors");
});
