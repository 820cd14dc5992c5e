import { type ClipConfigInput, parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";

const text: ClipConfigInput["text_cfg"] = {
  context_length: 8,
  vocab_size: 32,
  width: 16,
  heads: 2,
  layers: 2,
};

const vision: ClipConfigInput["vision_cfg"] = {
  image_size: 16,
  patch_size: 4,
  layers: 2,
  width: 32,
  head_width: 16,
  mlp_ratio: 2,
};

const eva: ClipConfigInput["vision_cfg"] = { ...vision, eva_model_name: "tiny" };

/** A small model of every family. */
export const tinyConfigs = {
  eva01: { embed_dim: 24, vision_cfg: { ...eva, ls_init_value: 0.1 }, text_cfg: text },
  eva02: {
    embed_dim: 24,
    vision_cfg: { ...eva, mlp_ratio: 2.6667, rope: true, intp_freq: true, naiveswiglu: true, subln: true },
    text_cfg: text,
  },
  "eva02-E": { embed_dim: 24, vision_cfg: { ...eva, postnorm: true }, text_cfg: text },
  "eva-8B": {
    embed_dim: 24,
    vision_cfg: { ...eva, image_size: 28, patch_size: 14, qkv_bias: false, use_rms_norm: true },
    text_cfg: text,
  },
  plain: { embed_dim: 24, quick_gelu: true, vision_cfg: vision, text_cfg: text },
} as const satisfies Record<string, ClipConfigInput>;

export type TinyName = keyof typeof tinyConfigs;

export const tinyNames = Object.keys(tinyConfigs) as TinyName[];

/** The model of a family, its parameters not allocated. */
export function tinyModel(name: TinyName): ClipModel {
  return new ClipModel(parseClipConfig(tinyConfigs[name]), { init: "fan_in" });
}
