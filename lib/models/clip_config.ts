import { z } from "zod";
import { checkLengths, describeValue, reading } from "../arguments";
import { EvaClipError } from "../errors";
import {
  CLIP_PREPROCESSING,
  type Preprocessing,
  preprocessConfig,
  preprocessField,
  preprocessingOf,
  samePreprocessing,
} from "../image/preprocessing";
import { ignored, layers, mlpRatioField, size } from "./config_schema";
import type { EvaTowerInput } from "./eva/eva_tower_config";
import type { ImageTowerConfig } from "./image_tower_descriptor";
import { imageTowerOf } from "./image_towers";

const textConfig = z
  .strictObject({
    context_length: size.default(77),
    vocab_size: size.default(49408),
    width: size.default(512),
    heads: size.default(8),
    layers,
    mlp_ratio: mlpRatioField,
    ls_init_value: z.null().optional(),
    /** The tokenizer, where it is not CLIP's, and the options of its text cleaning. */
    hf_tokenizer_name: z.string().optional(),
    tokenizer_kwargs: z.record(z.string(), z.unknown()).optional(),
    xattn: ignored,
    fusedLN: ignored,
  })
  .refine(({ width, heads }) => width % heads === 0, {
    path: ["width"],
    error: "must be a multiple of heads",
  });

/** Each family of image towers has its own fields. */
const visionConfig = z.record(z.string(), z.unknown()).transform((fields, context): ImageTowerConfig => {
  const parsed = imageTowerOf(fields).schema.safeParse(fields, { reportInput: true });
  if (parsed.success) return parsed.data;
  context.issues.push(...(parsed.error.issues as typeof context.issues));
  return z.NEVER;
});

const clipConfig = z
  .strictObject({
    embed_dim: size,
    /** QuickGELU, x σ(1.702 x), as OpenAI's weights need, in the text tower and in a plain image tower. */
    quick_gelu: z.boolean().default(false),
    /** The initial value of `logit_scale`, the logarithm of the scale. Default log(1 / 0.07), CLIP's. */
    init_logit_scale: z.number().optional(),
    /** The initial value of `logit_bias`, which SigLIP's loss adds to the logits; without it there is no such parameter. */
    init_logit_bias: z.number().optional(),
    /** Whether the text tower's keys begin with `text.`; the default depends on the image tower. */
    custom_text: z.boolean().optional(),
    vision_cfg: visionConfig,
    text_cfg: textConfig,
    /** Image preprocessing; undefined if it is CLIP's. */
    preprocess_cfg: preprocessField,
    /** Lengths to which embeddings may be cut, where the model is trained for it (Matryoshka representation learning). */
    matryoshka_dimensions: z.array(size).min(1).optional(),
  })
  .refine(
    ({ embed_dim, matryoshka_dimensions = [] }) => matryoshka_dimensions.every((some) => some <= embed_dim),
    {
      path: ["matryoshka_dimensions"],
      error: "must be at most embed_dim",
    },
  );

/** The fields of a published model configuration, with their defaults filled in. */
export type ClipConfig = z.output<typeof clipConfig>;
export type TextTowerConfig = ClipConfig["text_cfg"];
/** A model configuration as it is published: a JSON object in which most fields may be left out. */
export type ClipConfigInput = Omit<z.input<typeof clipConfig>, "vision_cfg"> & {
  vision_cfg: Partial<EvaTowerInput> & { [field: string]: unknown };
};

/** Twice the depth of any configuration, for objects that contain themselves. */
const DEEPEST_FIELD = 8;

/** A JSON value without its null fields, which mean the same as absent ones. */
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

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming the unsupported field */
export function parsePreprocessing(json: unknown, where: string): Preprocessing {
  const parsed = preprocessConfig.safeParse(withoutNulls(json), { reportInput: true });
  if (parsed.success) return parsed.data;
  throw invalid(where, problemsOf(parsed.error));
}

/**
 * Checks a model configuration, in the JSON of the published files, and fills in defaults. A null field counts as absent.
 * @param where its name in messages
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming each unknown, missing or invalid field
 */
export function parseClipConfig(json: unknown, where = "the model configuration"): ClipConfig {
  const parsed = reading(where, () => {
    checkLengths(where, json);
    return clipConfig.safeParse(withoutNulls(json), { reportInput: true });
  });
  if (!parsed.success) throw invalid(where, problemsOf(parsed.error));
  return parsed.data;
}

/** A configuration with another preprocessing. */
export function withPreprocessing(config: ClipConfig, preprocessing: Preprocessing): ClipConfig {
  const isClips = samePreprocessing(preprocessing, CLIP_PREPROCESSING);
  return { ...config, preprocess_cfg: isClips ? undefined : structuredClone(preprocessing as never) };
}

/** A configuration as files state it: with its preprocessing, even if that is CLIP's. */
export function statedConfig(config: ClipConfig): ClipConfig {
  return { ...config, preprocess_cfg: structuredClone(preprocessingOf(config) as never) };
}

/** The module below which the text tower's keys are: `text`, or `""` for the root. */
export function textModule({ custom_text, vision_cfg }: ClipConfig): "text" | "" {
  return (custom_text ?? imageTowerOf(vision_cfg).customText) ? "text" : "";
}

/** The beginning of the text tower's keys: `text.` or `""`. */
export function textPrefix(config: ClipConfig): "text." | "" {
  return textModule(config) === "text" ? "text." : "";
}
