import { z } from "zod";
import type { ClipConfig, ClipConfigInput } from "../../models/clip_config";
import type { AnyImageTower } from "../../models/image_tower_descriptor";
import { imageTowerOf } from "../../models/image_towers";
import { hiddenWidth, mlpRatio } from "../../models/mlp_width";
import { CLIP_EPS } from "../../models/residual_block";
import { invalidConfig } from "./config_fields";

const size = z.number().int().positive();
/** The side of a square, or both sides. */
const side = z.union([
  size,
  z
    .tuple([size, size])
    .refine(([height, width]) => height === width, { error: "expected a square" })
    .transform(([height]) => height),
]);
const activation = z.enum(["gelu", "quick_gelu"]);

/** Fields that a file leaves out have the defaults of transformers' CLIPTextConfig. */
const textConfig = z.object({
  hidden_size: size.default(512),
  intermediate_size: size.default(2048),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(8),
  max_position_embeddings: size.default(77),
  vocab_size: size.default(49408),
  hidden_act: activation.optional(),
  layer_norm_eps: z.number().default(1e-5),
});

/** Those of CLIPVisionConfig; a family of image towers may add others. */
const visionConfig = z.looseObject({
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  image_size: side.default(224),
  patch_size: side.default(32),
  hidden_act: activation.optional(),
  layer_norm_eps: z.number().optional(),
});

/** As in transformers, a tower's older `…_dict` replaces the other where there are both. */
const huggingFaceConfig = z
  .object({
    model_type: z.string().default("clip"),
    projection_dim: size.default(512),
    text_config: textConfig.prefault({}),
    text_config_dict: textConfig.optional(),
    vision_config: visionConfig.prefault({}),
    vision_config_dict: visionConfig.optional(),
  })
  .transform(({ text_config_dict: text, vision_config_dict: vision, ...config }) => ({
    ...config,
    ...(text && { text_config: text }),
    ...(vision && { vision_config: vision }),
  }));

/** Model types whose tokenizer is CLIP's. */
const CLIP_TYPES = /^clip$|eva/i;

export function isHuggingFaceConfig(json: unknown): boolean {
  if (typeof json !== "object" || json === null) return false;
  return ["text_config", "text_config_dict", "vision_config", "vision_config_dict"].some(
    (key) => key in json,
  );
}

/** Whether a model uses QuickGELU; its two towers have the same activation. */
function quickGeluOf(config: z.output<typeof huggingFaceConfig>, isDefault: boolean, path: string): boolean {
  const usual = isDefault ? "quick_gelu" : "gelu";
  const { hidden_act: ofText = usual } = config.text_config;
  const { hidden_act: ofImage = usual } = config.vision_config;
  if (ofText !== ofImage) {
    throw invalidConfig(`${path}: the towers differ in hidden_act, ${ofImage} and ${ofText}`, { path });
  }
  return ofText === "quick_gelu";
}

/** The fields that a family adds. @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` */
function familyFields(
  tower: AnyImageTower,
  vision: unknown,
  path: string,
): Record<string, unknown> | undefined {
  const parsed = tower.huggingFace?.fields?.safeParse(vision);
  if (parsed?.success === false) throw notClip(path, parsed.error, "vision_config");
  return parsed?.data;
}

function notClip(path: string, { issues }: z.ZodError, ...section: string[]) {
  const problems = issues.map((issue) => `${[...section, ...issue.path].join(".")}: ${issue.message}`);
  return invalidConfig(`${path} is not the configuration of a CLIP model: ${problems.join("; ")}`, { path });
}

/**
 * A configuration from transformers' config.json of a CLIP model, or of an EVA-CLIP model in the same format.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` for what the towers here do not support
 */
export function fromHuggingFaceConfig(json: unknown, tower: AnyImageTower, path: string): ClipConfigInput {
  const parsed = huggingFaceConfig.safeParse(json);
  if (!parsed.success) throw notClip(path, parsed.error);
  const { text_config: text, vision_config: vision, projection_dim, model_type } = parsed.data;
  const { layerNormEps = CLIP_EPS, defaultQuickGelu = true } = tower.huggingFace ?? {};
  const epsilons = [
    ["text_config", text.layer_norm_eps, CLIP_EPS],
    ["vision_config", vision.layer_norm_eps, layerNormEps],
  ] as const;
  for (const [section, found, expected] of epsilons) {
    if (found === undefined || found === expected) continue;
    const message = `${path}: ${section}.layer_norm_eps is ${found}, but this tower computes with ${expected}`;
    throw invalidConfig(message, { path });
  }
  return {
    embed_dim: projection_dim,
    quick_gelu: quickGeluOf(parsed.data, defaultQuickGelu, path),
    vision_cfg: {
      image_size: vision.image_size,
      patch_size: vision.patch_size,
      layers: vision.num_hidden_layers,
      width: vision.hidden_size,
      head_width: vision.hidden_size / vision.num_attention_heads,
      mlp_ratio: mlpRatio(vision.intermediate_size, vision.hidden_size),
      ...familyFields(tower, vision, path),
    },
    text_cfg: {
      context_length: text.max_position_embeddings,
      vocab_size: text.vocab_size,
      width: text.hidden_size,
      heads: text.num_attention_heads,
      layers: text.num_hidden_layers,
      mlp_ratio: mlpRatio(text.intermediate_size, text.hidden_size),
      ...(!CLIP_TYPES.test(model_type) && { hf_tokenizer_name: model_type }),
    },
  };
}

/** The config.json of transformers' CLIPModel, for a model whose image tower is written in this layout. */
export function toHuggingFaceConfig(config: ClipConfig): unknown {
  const { embed_dim, quick_gelu, vision_cfg: vision, text_cfg: text } = config;
  const shared = {
    hidden_act: quick_gelu ? "quick_gelu" : "gelu",
    layer_norm_eps: CLIP_EPS,
    projection_dim: embed_dim,
  };
  return {
    architectures: ["CLIPModel"],
    model_type: "clip",
    projection_dim: embed_dim,
    text_config: {
      ...shared,
      model_type: "clip_text_model",
      hidden_size: text.width,
      intermediate_size: hiddenWidth(text),
      num_hidden_layers: text.layers,
      num_attention_heads: text.heads,
      max_position_embeddings: text.context_length,
      vocab_size: text.vocab_size,
      bos_token_id: text.vocab_size - 2,
      eos_token_id: text.vocab_size - 1,
    },
    vision_config: { ...shared, ...imageTowerOf(vision).huggingFace?.visionConfig?.(vision) },
  };
}
