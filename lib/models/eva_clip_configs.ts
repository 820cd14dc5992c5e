import { EvaClipError } from "../errors";
import { type ClipConfig, type ClipConfigInput, parseClipConfig } from "./clip_config";

type VisionInput = ClipConfigInput["vision_cfg"];
type TextInput = ClipConfigInput["text_cfg"];

const text = (width: number, layers: number): TextInput => ({
  context_length: 77,
  vocab_size: 49408,
  width,
  heads: width / 64,
  layers,
});

const eva01g: VisionInput = {
  image_size: 224,
  layers: 40,
  width: 1408,
  head_width: 88,
  mlp_ratio: 4.3637,
  patch_size: 14,
  eva_model_name: "eva-clip-g-14-x",
  xattn: true,
  fusedLN: true,
};

const eva02: VisionInput = {
  head_width: 64,
  mlp_ratio: 2.6667,
  xattn: true,
  fusedLN: true,
  rope: true,
  pt_hw_seq_len: 16,
  intp_freq: true,
  naiveswiglu: true,
  subln: true,
};

const eva02L: VisionInput = { ...eva02, layers: 24, width: 1024, patch_size: 14 };

const eva02E: VisionInput = {
  image_size: 224,
  layers: 64,
  width: 1792,
  head_width: 112,
  mlp_ratio: 8.571428571428571,
  patch_size: 14,
  eva_model_name: "eva-clip-4b-14-x",
  xattn: true,
  fusedLN: true,
  postnorm: true,
};

/** The published EVA-CLIP configurations (EVA-CLIP/rei/eva_clip/model_configs, commit 5623d08). */
const published = {
  "EVA01-CLIP-B-16": {
    embed_dim: 512,
    vision_cfg: {
      image_size: 224,
      layers: 12,
      width: 768,
      patch_size: 16,
      eva_model_name: "eva-clip-b-16",
      ls_init_value: 0.1,
      drop_path_rate: 0,
    },
    text_cfg: text(512, 12),
  },
  "EVA01-CLIP-g-14": {
    embed_dim: 1024,
    vision_cfg: { ...eva01g, drop_path_rate: 0.4 },
    text_cfg: text(768, 12),
  },
  "EVA01-CLIP-g-14-plus": { embed_dim: 1024, vision_cfg: eva01g, text_cfg: text(1024, 24) },
  "EVA02-CLIP-B-16": {
    embed_dim: 512,
    vision_cfg: {
      ...eva02,
      image_size: 224,
      layers: 12,
      width: 768,
      patch_size: 16,
      eva_model_name: "eva-clip-b-16-X",
    },
    text_cfg: text(512, 12),
  },
  "EVA02-CLIP-L-14": {
    embed_dim: 768,
    vision_cfg: { ...eva02L, image_size: 224, eva_model_name: "eva-clip-l-14" },
    text_cfg: text(768, 12),
  },
  "EVA02-CLIP-L-14-336": {
    embed_dim: 768,
    vision_cfg: { ...eva02L, image_size: 336, eva_model_name: "eva-clip-l-14-336" },
    text_cfg: text(768, 12),
  },
  "EVA02-CLIP-bigE-14": { embed_dim: 1024, vision_cfg: eva02E, text_cfg: text(1024, 24) },
  "EVA02-CLIP-bigE-14-plus": { embed_dim: 1024, vision_cfg: eva02E, text_cfg: text(1280, 32) },
} as const satisfies Record<string, ClipConfigInput>;

export type EvaClipName = keyof typeof published;

export const evaClipNames = Object.keys(published) as EvaClipName[];

/**
 * The configuration of a published model.
 * @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL` listing the names there are.
 */
export function evaClipConfig(name: string): ClipConfig {
  if (!Object.hasOwn(published, name)) {
    const message = `there is no model ${name}; known are ${evaClipNames.join(", ")}`;
    throw new EvaClipError("ERR_EVACLIP_UNKNOWN_MODEL", message, { name, known: evaClipNames });
  }
  return parseClipConfig(published[name as EvaClipName]);
}
