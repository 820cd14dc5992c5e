import { z } from "zod";
import { evaClipConfigs } from "../eva_clip_configs";
import type { ImageTowerDescriptor } from "../image_tower_descriptor";
import { hiddenWidth } from "../mlp_width";
import { EvaImageTower } from "./eva_image_tower";
import { type EvaFacts, evaInference } from "./eva_inference";
import { evaLayouts, type EvaVariant, evaVariant } from "./eva_layouts";
import { type EvaTowerConfig, evaTowerSchema } from "./eva_tower_config";

/** timm's EVA-CLIP image towers (open_clip/model_configs/EVA0*.json). */
const TIMM_TOWERS: Record<string, Record<string, unknown>> = {
  eva_giant_patch14_224: evaClipConfigs["EVA01-CLIP-g-14-plus"].vision_cfg,
  eva_giant_patch14_clip_224: evaClipConfigs["EVA01-CLIP-g-14-plus"].vision_cfg,
  eva02_base_patch16_clip_224: evaClipConfigs["EVA02-CLIP-B-16"].vision_cfg,
  eva02_large_patch14_clip_224: evaClipConfigs["EVA02-CLIP-L-14"].vision_cfg,
  eva02_large_patch14_clip_336: evaClipConfigs["EVA02-CLIP-L-14-336"].vision_cfg,
  eva02_enormous_patch14_clip_224: evaClipConfigs["EVA02-CLIP-bigE-14"].vision_cfg,
};

/** The fields that determine a tower's results; training options and names do not. */
function computedFields(config: EvaTowerConfig): string {
  const { eva_model_name, patch_dropout, drop_path_rate, ls_init_value, xattn, fusedLN, mlp_ratio, ...rest } =
    config;
  const fields = { ...rest, layerScale: Boolean(ls_init_value), hidden: hiddenWidth(config) };
  return JSON.stringify(Object.entries(fields).sort());
}

/** timm's name of a tower; undefined where timm does not have it. */
function timmNameOf(config: EvaTowerConfig): string | undefined {
  const wanted = computedFields(config);
  return Object.keys(TIMM_TOWERS).find(
    (name) => computedFields(evaTowerSchema.parse(TIMM_TOWERS[name])) === wanted,
  );
}

/** Fields that the `vision_config` of BAAI/EVA-CLIP-8B adds to transformers'. */
const visionConfig = z
  .object({
    q_bias: z.boolean().default(true),
    use_rms_norm: z.boolean().default(false),
    post_layernorm: z.boolean().nullable().default(false),
    use_sub_ln: z.boolean().default(false),
    use_swiglu_mlp: z.boolean().default(false),
    use_rope: z.boolean().default(false),
    pretrained_seq_len: z.number().int().positive().default(16),
  })
  .transform((vision) => ({
    eva_model_name: "eva-clip",
    qkv_bias: vision.q_bias,
    use_rms_norm: vision.use_rms_norm,
    postnorm: vision.post_layernorm ?? false,
    subln: vision.use_sub_ln,
    naiveswiglu: vision.use_swiglu_mlp,
    rope: vision.use_rope,
    pt_hw_seq_len: vision.pretrained_seq_len,
    intp_freq: vision.use_rope,
  }));

/** EVA's image towers, told by `eva_model_name`. */
export const evaImageTower: ImageTowerDescriptor<EvaTowerConfig, EvaVariant, EvaFacts> = {
  name: "eva",
  title: "an EVA image tower",
  matches: ({ eva_model_name }) => typeof eva_model_name === "string",
  schema: evaTowerSchema,
  build: (config, options) => new EvaImageTower(config, options),
  customText: true,
  activation: { quickGelu: false, reason: "EVA-CLIP trained with it" },
  ownLayout: "eva_clip",
  layouts: evaLayouts,
  variant: evaVariant,
  inference: evaInference,
  huggingFace: {
    layerNormEps: 1e-6,
    defaultQuickGelu: false,
    fields: visionConfig,
  },
  openClip: {
    timm: TIMM_TOWERS,
    visionConfig: (config) => {
      const name = timmNameOf(config);
      if (name === undefined) return undefined;
      return { timm_model_name: name, timm_model_pretrained: false, timm_pool: "token", timm_proj: null };
    },
  },
};
