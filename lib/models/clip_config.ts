import { z } from "zod";
import { checkLengths, describeValue, reading } from "../arguments";
import { EvaClipError } from "../errors";
import { type Preprocessing, preprocessConfig, preprocessField } from "../image/preprocessing";

/** Far above any model, and small enough that products of three are exact. */
const LARGEST_SIZE = 1_000_000;
const MOST_LAYERS = 1000;

const size = z.number().int().positive().max(LARGEST_SIZE);
const layers = size.max(MOST_LAYERS).default(12);
const mlpRatio = z.number().positive().max(1000).default(4);
const rate = z.number().min(0).lt(1);
/** Which fused kernel the reference code picks; nothing to choose here. */
const ignored = z.boolean().optional();

const visionConfig = z.strictObject({
  image_size: size.default(224),
  layers,
  width: size.default(768),
  head_width: size.default(64),
  mlp_ratio: mlpRatio,
  patch_size: size.default(16),
  /** Present in EVA's towers; a plain CLIP image tower has none. */
  eva_model_name: z.string().optional(),
  /** The share of patches dropped in training. */
  patch_dropout: rate.default(0),
  /** The stochastic depth of the last block; the first has none and it grows evenly. */
  drop_path_rate: rate.nullable().default(0),
  /** The first value of the layer scales; without it there are none. */
  ls_init_value: z.number().nullable().default(null),
  /** Whether queries and values, and the head, have a bias. */
  qkv_bias: z.boolean().default(true),
  /** RMS norm in the place of layer norm. */
  use_rms_norm: z.boolean().default(false),
  postnorm: z.boolean().default(false),
  subln: z.boolean().default(false),
  naiveswiglu: z.boolean().default(false),
  rope: z.boolean().default(false),
  /** The side of the grid that rotary positions are measured on. */
  pt_hw_seq_len: size.default(16),
  /** Whether a grid of another size is stretched to it. */
  intp_freq: z.boolean().default(false),
  /** Pool the mean of all tokens, then norm (EVA's own alternative to the class token). */
  global_average_pool: z.boolean().default(false),
  /** "avg" pools the mean of the patches without the class token, then norms. */
  pool_type: z.enum(["tok", "avg"]).default("tok"),
  xattn: ignored,
  fusedLN: ignored,
});

const textConfig = z.strictObject({
  context_length: size.default(77),
  vocab_size: size.default(49408),
  width: size.default(512),
  heads: size.default(8),
  layers,
  mlp_ratio: mlpRatio,
  ls_init_value: z.null().optional(),
  /** The tokenizer, where it is not CLIP's, and what its cleaning does. */
  hf_tokenizer_name: z.string().optional(),
  tokenizer_kwargs: z.record(z.string(), z.unknown()).optional(),
  xattn: ignored,
  fusedLN: ignored,
});

const clipConfig = z.strictObject({
  embed_dim: size,
  /** The text tower, and a plain image tower, use x σ(1.702 x) for GELU, as OpenAI's weights need. */
  quick_gelu: z.boolean().default(false),
  /** Whether the text tower's keys begin with `text.`; by default they do beside an EVA image tower. */
  custom_text: z.boolean().optional(),
  vision_cfg: visionConfig,
  text_cfg: textConfig,
  /** What images go through; left out where it is what CLIP is trained with. */
  preprocess_cfg: preprocessField,
});

/** The fields of a published model configuration, with their defaults filled in. */
export type ClipConfig = z.output<typeof clipConfig>;
export type VisionConfig = ClipConfig["vision_cfg"];
export type TextConfig = ClipConfig["text_cfg"];
/** A model configuration as it is published: a JSON object in which most fields may be left out. */
export type ClipConfigInput = z.input<typeof clipConfig>;

/** Configurations are nested half as deep; an object that holds itself has no end. */
const DEEPEST_FIELD = 8;

/** A JSON value without the fields that are null, which say nothing. */
export function withoutNulls(json: unknown, depth = 0): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json) || depth > DEEPEST_FIELD) return json;
  const stated = Object.entries(json).filter(([, value]) => value !== null);
  return Object.fromEntries(stated.map(([key, value]) => [key, withoutNulls(value, depth + 1)]));
}

function problemsOf({ issues }: z.ZodError): string[] {
  return issues.map(({ path, message, input }) => {
    const found = input === undefined || path.length === 0 ? "" : `, found ${describeValue(input)}`;
    return [path.join("."), `${message}${found}`].filter(Boolean).join(": ");
  });
}

function invalid(where: string, problems: readonly string[]): EvaClipError {
  const message = `${where} is not valid: ${problems.join("; ")}`;
  return new EvaClipError("ERR_EVACLIP_INVALID_CONFIG", message, { problems });
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming the field that cannot be honored */
export function parsePreprocessing(json: unknown, where: string): Preprocessing {
  const parsed = preprocessConfig.safeParse(withoutNulls(json), { reportInput: true });
  if (parsed.success) return parsed.data;
  throw invalid(where, problemsOf(parsed.error));
}

/** What the fields must satisfy together. */
function conflicts({ vision_cfg: vision, text_cfg: text }: ClipConfig): string[] {
  const rules: [broken: boolean, problem: string][] = [
    [vision.image_size % vision.patch_size !== 0, "vision_cfg.image_size must be a multiple of patch_size"],
    [vision.width % vision.head_width !== 0, "vision_cfg.width must be a multiple of head_width"],
    [text.width % text.heads !== 0, "text_cfg.width must be a multiple of heads"],
    [
      vision.rope && vision.head_width % 4 !== 0,
      "vision_cfg.rope needs a head_width that is a multiple of 4",
    ],
    [
      vision.use_rms_norm && vision.subln,
      "vision_cfg.use_rms_norm and subln exclude each other: the inner norms are layer norms",
    ],
    [
      vision.global_average_pool && vision.pool_type === "avg",
      "vision_cfg.global_average_pool and pool_type avg exclude each other",
    ],
  ];
  return rules.filter(([broken]) => broken).map(([, problem]) => problem);
}

/** A plain CLIP image tower has none of EVA's parts. */
function evaFieldsOfPlainTower(vision: VisionConfig): string[] {
  if (vision.eva_model_name !== undefined) return [];
  const fields = [
    "subln",
    "naiveswiglu",
    "rope",
    "postnorm",
    "use_rms_norm",
    "global_average_pool",
    "ls_init_value",
    "drop_path_rate",
  ] as const;
  const set: string[] = fields.filter((field) => vision[field]);
  if (vision.pool_type === "avg") set.push("pool_type");
  if (!vision.qkv_bias) set.push("qkv_bias");
  return set.map((field) => `vision_cfg.${field} needs an EVA image tower, named by eva_model_name`);
}

/**
 * Checks a model configuration, in the JSON of the published files, and fills in their defaults. Nulls are as good as
 * nothing.
 * @param where what messages call it
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming each unknown, missing or wrong field.
 */
export function parseClipConfig(json: unknown, where = "the model configuration"): ClipConfig {
  const parsed = reading(where, () => {
    checkLengths(where, json);
    return clipConfig.safeParse(withoutNulls(json), { reportInput: true });
  });
  if (!parsed.success) throw invalid(where, problemsOf(parsed.error));
  const problems = [...conflicts(parsed.data), ...evaFieldsOfPlainTower(parsed.data.vision_cfg)];
  if (problems.length > 0) throw invalid(where, problems);
  return parsed.data;
}

/** Whether the image tower is one of EVA's. */
export function isEva(config: ClipConfig): boolean {
  return config.vision_cfg.eva_model_name !== undefined;
}

/** What the keys of the text tower begin with. */
export function textPrefix(config: ClipConfig): string {
  return (config.custom_text ?? isEva(config)) ? "text." : "";
}
