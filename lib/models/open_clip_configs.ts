import type { ClipConfigInput } from "./clip_config";
import { clipText } from "./eva_clip_configs";

type VisionInput = ClipConfigInput["vision_cfg"];

const vitB: VisionInput = { image_size: 224, layers: 12, width: 768, patch_size: 32 };
const vitL: VisionInput = { image_size: 224, layers: 24, width: 1024, patch_size: 14 };

const b32 = { embed_dim: 512, vision_cfg: vitB, text_cfg: clipText(512, 12) };
const b16 = { ...b32, vision_cfg: { ...vitB, patch_size: 16 } };
const l14 = { embed_dim: 768, vision_cfg: vitL, text_cfg: clipText(768, 12) };
const l14At336 = { ...l14, vision_cfg: { ...vitL, image_size: 336 } };

/** The towers of CLIP as open_clip publishes them (open_clip/model_configs); OpenAI's weights need QuickGELU. */
export const openClipConfigs = {
  "ViT-B-32": b32,
  "ViT-B-32-quickgelu": { ...b32, quick_gelu: true },
  "ViT-B-16": b16,
  "ViT-B-16-quickgelu": { ...b16, quick_gelu: true },
  "ViT-L-14": l14,
  "ViT-L-14-quickgelu": { ...l14, quick_gelu: true },
  "ViT-L-14-336": l14At336,
  "ViT-L-14-336-quickgelu": { ...l14At336, quick_gelu: true },
  "ViT-H-14": {
    embed_dim: 1024,
    vision_cfg: { image_size: 224, layers: 32, width: 1280, head_width: 80, patch_size: 14 },
    text_cfg: clipText(1024, 24),
  },
  "ViT-g-14": {
    embed_dim: 1024,
    vision_cfg: {
      image_size: 224,
      layers: 40,
      width: 1408,
      head_width: 88,
      mlp_ratio: 4.3637,
      patch_size: 14,
    },
    text_cfg: clipText(1024, 24),
  },
  "ViT-bigG-14": {
    embed_dim: 1280,
    vision_cfg: {
      image_size: 224,
      layers: 48,
      width: 1664,
      head_width: 104,
      mlp_ratio: 4.9231,
      patch_size: 14,
    },
    text_cfg: clipText(1280, 32),
  },
} as const satisfies Record<string, ClipConfigInput>;
