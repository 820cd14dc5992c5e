import { z } from "zod";
import type { ClipConfig, ClipConfigInput } from "../../models/clip_config";
import { hiddenWidth, invalidConfig, mlpRatio } from "./config_fields";
import type { Naming } from "../layouts/layout";

const size = z.number().int().positive();
/** Of a square, which may be given by both sides. */
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

/** Those of CLIPVisionConfig, and what EVA-CLIP's published configurations add. */
const visionConfig = z.object({
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  image_size: side.default(224),
  patch_size: side.default(32),
  hidden_act: activation.optional(),
  layer_norm_eps: z.number().optional(),
  q_bias: z.boolean().default(true),
  use_rms_norm: z.boolean().default(false),
  post_layernorm: z.boolean().nullable().default(false),
  use_sub_ln: z.boolean().default(false),
  use_swiglu_mlp: z.boolean().default(false),
  use_rope: z.boolean().default(false),
  pretrained_seq_len: size.default(16),
});

/** A tower's `…_dict`, from before the other one, wins whole where there are both, as transformers lets it. */
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

/** The types of models whose tokenizer is CLIP's. */
const CLIP_TYPES = /^clip$|eva/i;

/** The epsilons that the towers compute with. */
const EPSILONS = { clip: 1e-5, eva: 1e-6 } as const;

export function isHuggingFaceConfig(json: unknown): boolean {
  if (typeof json !== "object" || json === null) return false;
  return ["text_config", "text_config_dict", "vision_config", "vision_config_dict"].some(
    (key) => key in json,
  );
}

/** The only activation of a model, whose towers cannot differ here: EVA's image towers always use GELU. */
function activationOf(
  config: z.output<typeof huggingFaceConfig>,
  image: Naming["image"],
  path: string,
): boolean {
  // transformers' own default is OpenAI's activation; EVA-CLIP's configurations default to GELU.
  const usual = image === "clip" ? "quick_gelu" : "gelu";
  const { hidden_act: ofText = usual } = config.text_config;
  const { hidden_act: ofImage = usual } = config.vision_config;
  if (ofText !== ofImage) {
    throw invalidConfig(`${path}: the towers differ in hidden_act, ${ofImage} and ${ofText}`, { path });
  }
  return ofText === "quick_gelu";
}

/**
 * A configuration from transformers' config.json of a CLIP model, or of an EVA-CLIP model published in its manner.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` for what the towers here cannot compute
 */
export function fromHuggingFaceConfig(json: unknown, image: Naming["image"], path: string): ClipConfigInput {
  const parsed = huggingFaceConfig.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw invalidConfig(`${path} is no configuration of a CLIP model: ${problems.join("; ")}`, { path });
  }
  const { text_config: text, vision_config: vision, projection_dim, model_type } = parsed.data;
  const epsilons = [
    ["text_config", text.layer_norm_eps, EPSILONS.clip],
    ["vision_config", vision.layer_norm_eps, EPSILONS[image]],
  ] as const;
  for (const [tower, found, expected] of epsilons) {
    if (found === undefined || found === expected) continue;
    throw invalidConfig(`${path}: ${tower}.layer_norm_eps is ${found}, the tower here has ${expected}`, {
      path,
    });
  }
  return {
    embed_dim: projection_dim,
    quick_gelu: activationOf(parsed.data, image, path),
    vision_cfg: {
      image_size: vision.image_size,
      patch_size: vision.patch_size,
      layers: vision.num_hidden_layers,
      width: vision.hidden_size,
      head_width: vision.hidden_size / vision.num_attention_heads,
      mlp_ratio: mlpRatio(vision.intermediate_size, vision.hidden_size),
      ...(image === "eva" && evaFields(vision)),
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

function evaFields(vision: z.output<typeof visionConfig>): Partial<ClipConfigInput["vision_cfg"]> {
  return {
    eva_model_name: "eva-clip",
    qkv_bias: vision.q_bias,
    use_rms_norm: vision.use_rms_norm,
    postnorm: vision.post_layernorm ?? false,
    subln: vision.use_sub_ln,
    naiveswiglu: vision.use_swiglu_mlp,
    rope: vision.use_rope,
    pt_hw_seq_len: vision.pretrained_seq_len,
    intp_freq: vision.use_rope,
  };
}

/** The config.json of transformers' CLIPModel for a plain CLIP. */
export function toHuggingFaceConfig(config: ClipConfig): unknown {
  const { embed_dim, quick_gelu, vision_cfg: vision, text_cfg: text } = config;
  const shared = {
    hidden_act: quick_gelu ? "quick_gelu" : "gelu",
    layer_norm_eps: EPSILONS.clip,
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
    vision_config: {
      ...shared,
      model_type: "clip_vision_model",
      hidden_size: vision.width,
      intermediate_size: hiddenWidth(vision),
      num_hidden_layers: vision.layers,
      num_attention_heads: vision.width / vision.head_width,
      image_size: vision.image_size,
      patch_size: vision.patch_size,
      num_channels: 3,
    },
  };
}
