import type { EvaTowerInput } from "./eva/eva_tower_config";

type VisionInput = Partial<EvaTowerInput> & { readonly [field: string]: unknown };
export interface TextInput {
  readonly context_length: number;
  readonly vocab_size: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
}
/** As `ClipConfigInput`, whose schema asks the towers' descriptors, and those these configurations. */
interface EvaClipInput {
  readonly embed_dim: number;
  readonly vision_cfg: VisionInput;
  readonly text_cfg: TextInput;
}

/** A CLIP text tower; every published one has heads of 64. */
export const clipText = (width: number, layers: number): TextInput => ({
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

const eva8b: VisionInput = {
  image_size: 224,
  layers: 32,
  width: 4096,
  head_width: 128,
  mlp_ratio: 5,
  patch_size: 14,
  eva_model_name: "eva-clip-8b-14-x",
  qkv_bias: false,
  xattn: true,
  use_rms_norm: true,
};

const eva18b: VisionInput = {
  ...eva8b,
  layers: 48,
  width: 5120,
  eva_model_name: "eva-clip-18b-14-x",
  postnorm: true,
};

/**
 * The published EVA-CLIP configurations (baaivision/EVA, commit 5623d08: EVA-CLIP/rei and EVA-CLIP-18B/shinji,
 * eva_clip/model_configs).
 */
export const evaClipConfigs = {
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
    text_cfg: clipText(512, 12),
  },
  "EVA01-CLIP-g-14": {
    embed_dim: 1024,
    vision_cfg: { ...eva01g, drop_path_rate: 0.4 },
    text_cfg: clipText(768, 12),
  },
  "EVA01-CLIP-g-14-plus": { embed_dim: 1024, vision_cfg: eva01g, text_cfg: clipText(1024, 24) },
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
    text_cfg: clipText(512, 12),
  },
  "EVA02-CLIP-L-14": {
    embed_dim: 768,
    vision_cfg: { ...eva02L, image_size: 224, eva_model_name: "eva-clip-l-14" },
    text_cfg: clipText(768, 12),
  },
  "EVA02-CLIP-L-14-336": {
    embed_dim: 768,
    vision_cfg: { ...eva02L, image_size: 336, eva_model_name: "eva-clip-l-14-336" },
    text_cfg: clipText(768, 12),
  },
  "EVA02-CLIP-bigE-14": { embed_dim: 1024, vision_cfg: eva02E, text_cfg: clipText(1024, 24) },
  "EVA02-CLIP-bigE-14-plus": { embed_dim: 1024, vision_cfg: eva02E, text_cfg: clipText(1280, 32) },
  "EVA-CLIP-8B": { embed_dim: 1280, vision_cfg: eva8b, text_cfg: clipText(1280, 32) },
  "EVA-CLIP-8B-plus": {
    embed_dim: 1280,
    vision_cfg: { ...eva8b, image_size: 448, eva_model_name: "eva-clip-8b-14-plus-x" },
    text_cfg: clipText(1280, 32),
  },
  "EVA-CLIP-18B": { embed_dim: 1536, vision_cfg: eva18b, text_cfg: clipText(1280, 32) },
} as const satisfies Record<string, EvaClipInput>;
