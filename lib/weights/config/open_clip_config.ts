import { z } from "zod";
import { invalidArgument } from "../../arguments";
import { type ClipConfig, type ClipConfigInput, isEva } from "../../models/clip_config";
import { modelConfig } from "../../models/known_models";
import { preprocessingOf } from "../../image/preprocessing";
import { invalidConfig } from "./config_fields";

/** timm's EVA-CLIP image towers, and a published model that has each (open_clip/model_configs/EVA0*.json). */
const TIMM_TOWERS = {
  eva_giant_patch14_224: "EVA01-CLIP-g-14-plus",
  eva_giant_patch14_clip_224: "EVA01-CLIP-g-14-plus",
  eva02_base_patch16_clip_224: "EVA02-CLIP-B-16",
  eva02_large_patch14_clip_224: "EVA02-CLIP-L-14",
  eva02_large_patch14_clip_336: "EVA02-CLIP-L-14-336",
  eva02_enormous_patch14_clip_224: "EVA02-CLIP-bigE-14",
} as const;

const record = z.record(z.string(), z.unknown());
const openClipConfig = z.object({ model_cfg: z.looseObject({ vision_cfg: record, text_cfg: record }) });

export function isOpenClipConfig(json: unknown): boolean {
  return openClipConfig.safeParse(json).success;
}

/**
 * A configuration from open_clip_config.json; a timm image tower is looked up by its name.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` for a tower that is not one of EVA-CLIP's
 */
export function fromOpenClipConfig(json: unknown, path: string): ClipConfigInput {
  const { vision_cfg: vision, ...rest } = openClipConfig.parse(json).model_cfg;
  const name = vision.timm_model_name;
  if (name === undefined) return { ...rest, vision_cfg: vision } as unknown as ClipConfigInput;
  if (typeof name !== "string" || !Object.hasOwn(TIMM_TOWERS, name)) {
    const known = Object.keys(TIMM_TOWERS);
    throw invalidConfig(
      `${path}: the image tower ${String(name)} of timm is none of EVA-CLIP's: ${known.join(", ")}`,
      { path, known },
    );
  }
  const { vision_cfg } = modelConfig(TIMM_TOWERS[name as keyof typeof TIMM_TOWERS]);
  return { ...rest, vision_cfg } as unknown as ClipConfigInput;
}

/** The facts of an image tower that decide what it computes: not how it is trained, nor what it is called. */
function towerFacts(vision: ClipConfig["vision_cfg"]): string {
  const { eva_model_name, patch_dropout, drop_path_rate, ls_init_value, xattn, fusedLN, mlp_ratio, ...rest } =
    vision;
  const facts = { ...rest, layerScale: Boolean(ls_init_value), hidden: Math.trunc(vision.width * mlp_ratio) };
  return JSON.stringify(Object.entries(facts).sort());
}

/** The name that timm has for an EVA image tower. */
export function timmNameOf({ vision_cfg }: ClipConfig): string | undefined {
  const towers = Object.entries(TIMM_TOWERS);
  return towers.find(
    ([, model]) => towerFacts(modelConfig(model).vision_cfg) === towerFacts(vision_cfg),
  )?.[0];
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` where open_clip has no such transform */
function preprocessConfig(config: ClipConfig): unknown {
  const { crop_pct, fill_color, ...shared } = preprocessingOf(config);
  const { image_size: size } = config.vision_cfg;
  if (crop_pct !== 1) {
    const message = `the layout open_clip cannot state preprocess_cfg.crop_pct ${crop_pct}, only 1: write another layout`;
    throw invalidArgument(message, { field: "preprocess_cfg.crop_pct", found: crop_pct });
  }
  return { size: [size, size], mode: "RGB", ...shared, ...(fill_color !== 0 && { fill_color }) };
}

/** The content of open_clip_config.json; undefined where open_clip has no such model. */
export function toOpenClipConfig(config: ClipConfig): unknown {
  const { embed_dim, quick_gelu, vision_cfg: vision, text_cfg: text } = config;
  const { context_length, vocab_size, width, heads, layers, mlp_ratio, hf_tokenizer_name, tokenizer_kwargs } =
    text;
  const timmName = timmNameOf(config);
  if (isEva(config) && timmName === undefined) return undefined;
  const visionConfig = isEva(config)
    ? { timm_model_name: timmName, timm_model_pretrained: false, timm_pool: "token", timm_proj: null }
    : {
        layers: vision.layers,
        width: vision.width,
        head_width: vision.head_width,
        mlp_ratio: vision.mlp_ratio,
        patch_size: vision.patch_size,
      };
  return {
    model_cfg: {
      embed_dim,
      ...(quick_gelu && { quick_gelu }),
      ...((isEva(config) || config.custom_text) && { custom_text: true }),
      vision_cfg: { image_size: vision.image_size, ...visionConfig },
      text_cfg: {
        context_length,
        vocab_size,
        width,
        heads,
        layers,
        mlp_ratio,
        ...(hf_tokenizer_name !== undefined && { hf_tokenizer_name }),
        ...(tokenizer_kwargs && { tokenizer_kwargs }),
      },
    },
    preprocess_cfg: preprocessConfig(config),
  };
}
