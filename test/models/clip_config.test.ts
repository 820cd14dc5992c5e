import type { EvaClipError } from "../../lib/errors";
import { parseClipConfig } from "../../lib/models/clip_config";

const small = {
  embed_dim: 32,
  vision_cfg: {
    eva_model_name: "small",
    image_size: 32,
    width: 64,
    head_width: 32,
    patch_size: 8,
    layers: 1,
  },
  text_cfg: { width: 64, heads: 2, layers: 1 },
};

function errorOf(json: unknown): EvaClipError {
  try {
    parseClipConfig(json);
  } catch (error) {
    return error as EvaClipError;
  }
  throw new Error("the configuration was accepted");
}

test("fills in the published defaults", () => {
  const { vision_cfg, text_cfg, quick_gelu } = parseClipConfig(small);
  expect(vision_cfg).toMatchObject({ mlp_ratio: 4, qkv_bias: true, rope: false, patch_dropout: 0 });
  expect(text_cfg).toMatchObject({ context_length: 77, vocab_size: 49408 });
  expect(quick_gelu).toBe(false);
});

test.each([
  ["an unknown field", { ...small, vision_cfg: { ...small.vision_cfg, ropee: true } }, /vision_cfg.*ropee/],
  ["an unknown field at the top", { ...small, text: {} }, /text/],
  ["a missing field", { vision_cfg: small.vision_cfg, text_cfg: small.text_cfg }, /embed_dim/],
  ["a wrong type", { ...small, embed_dim: "32" }, /embed_dim.*number/],
  ["a size of zero", { ...small, text_cfg: { ...small.text_cfg, layers: 0 } }, /text_cfg\.layers/],
  [
    "patches that do not fill the image",
    { ...small, vision_cfg: { ...small.vision_cfg, patch_size: 7 } },
    /patch_size/,
  ],
  [
    "heads that do not fill the width",
    { ...small, vision_cfg: { ...small.vision_cfg, head_width: 48 } },
    /head_width/,
  ],
  [
    "EVA's parts in a plain tower",
    { ...small, vision_cfg: { rope: true } },
    /vision_cfg\.rope.*eva_model_name/,
  ],
  [
    "RMS norm with sub-norms",
    { ...small, vision_cfg: { ...small.vision_cfg, use_rms_norm: true, subln: true } },
    /use_rms_norm.*subln/,
  ],
  ["RMS norm in a plain tower", { ...small, vision_cfg: { use_rms_norm: true } }, /use_rms_norm.*eva_model/],
  ["a plain tower without biases", { ...small, vision_cfg: { qkv_bias: false } }, /qkv_bias.*eva_model/],
  ["something else", "EVA02-CLIP-B-16", /object/],
])("refuses %s and names it", (_, json, message) => {
  const error = errorOf(json);
  expect(error.code).toBe("ERR_EVACLIP_INVALID_CONFIG");
  expect(error.message).toMatch(message);
});

test("accepts the published file of EVA-CLIP-18B as it is", () => {
  const published = {
    embed_dim: 1536,
    vision_cfg: {
      image_size: 224,
      layers: 48,
      width: 5120,
      head_width: 128,
      mlp_ratio: 5,
      patch_size: 14,
      eva_model_name: "eva-clip-18b-14-x",
      drop_path_rate: 0,
      qkv_bias: false,
      xattn: true,
      postnorm: true,
      fusedLN: false,
      use_rms_norm: true,
    },
    text_cfg: {
      context_length: 77,
      vocab_size: 49408,
      width: 1280,
      heads: 20,
      layers: 32,
      xattn: false,
      fusedLN: false,
    },
  };
  const { vision_cfg } = parseClipConfig(published);
  expect(vision_cfg).toMatchObject({ use_rms_norm: true, qkv_bias: false, postnorm: true });
});
