import { z } from "zod";
import { invalidArgument } from "../../arguments";
import { preprocessingOf } from "../../image/preprocessing";
import { type ClipConfig, type ClipConfigInput, textModule } from "../../models/clip_config";
import { imageTowerOf, imageTowers } from "../../models/image_towers";
import { invalidConfig } from "./config_fields";

const record = z.record(z.string(), z.unknown());
const openClipConfig = z.object({ model_cfg: z.looseObject({ vision_cfg: record, text_cfg: record }) });

export function isOpenClipConfig(json: unknown): boolean {
  return openClipConfig.safeParse(json).success;
}

/** The `vision_cfg` of every image tower that is timm's, by timm's name. */
function timmTowers(): Map<string, Record<string, unknown>> {
  return new Map(imageTowers().flatMap(({ openClip }) => Object.entries(openClip?.timm ?? {})));
}

/**
 * A configuration from open_clip_config.json; an image tower of timm is looked up by its name.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` for an unknown tower of timm
 */
export function fromOpenClipConfig(json: unknown, path: string): ClipConfigInput {
  const { vision_cfg: vision, ...rest } = openClipConfig.parse(json).model_cfg;
  const name = vision.timm_model_name;
  const towers = timmTowers();
  const vision_cfg = name === undefined ? vision : towers.get(String(name));
  if (vision_cfg) return { ...rest, vision_cfg } as unknown as ClipConfigInput;
  const known = [...towers.keys()];
  const message = `${path}: unknown image tower of timm ${String(name)}; known are ${known.join(", ")}`;
  throw invalidConfig(message, { path, known });
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
  const { init_logit_scale, init_logit_bias } = config;
  const { context_length, vocab_size, width, heads, layers, mlp_ratio, hf_tokenizer_name, tokenizer_kwargs } =
    text;
  const visionConfig = imageTowerOf(vision).openClip?.visionConfig(vision);
  if (visionConfig === undefined) return undefined;
  return {
    model_cfg: {
      embed_dim,
      ...(quick_gelu && { quick_gelu }),
      ...(init_logit_scale !== undefined && { init_logit_scale }),
      ...(init_logit_bias !== undefined && { init_logit_bias }),
      ...(textModule(config) === "text" && { custom_text: true }),
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
