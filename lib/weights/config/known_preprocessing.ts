import type { TensorSource } from "../../io/tensor_source";
import { CLIP_PREPROCESSING, type Preprocessing, samePreprocessing } from "../../image/preprocessing";
import { type ClipConfig, parsePreprocessing } from "../../models/clip_config";
import { type PublishedModel, publishedModels } from "../../models/published_models";
import { invalidConfig } from "./config_fields";
import { archiveActivation, publishedNamesOf } from "./infer_config";
import type { StatedPreprocessing } from "./stored_preprocessing";

/** Fields that have no neutral value: a model is wrong with any other than its own. */
const NECESSARY = ["mean", "std", "interpolation", "resize_mode"] as const;

/** The preprocessing of each of a model's published weights. */
function preprocessingsOf({ name, weights }: PublishedModel): Preprocessing[] {
  return weights.map(({ preprocess_cfg = {}, tag }) =>
    parsePreprocessing(preprocess_cfg, `the preprocessing of ${name}, ${tag}`),
  );
}

/** The published models with a configuration, and their preprocessing, if all of their weights have the same. */
function publishedPreprocessing(config: ClipConfig): { names: string[]; preprocessing?: Preprocessing } {
  const names = publishedNamesOf(config);
  const models = publishedModels.filter(({ name }) => names.includes(name));
  // A model without published weights is of the same authors as the others of its family.
  const [first = CLIP_PREPROCESSING, ...others] = models.flatMap(preprocessingsOf);
  const isOne = models.length > 0 && others.every((other) => samePreprocessing(other, first));
  return { names, ...(isOne && { preprocessing: first }) };
}

/**
 * The preprocessing of a model: as its files state it, or, of a published model, as its weights were trained; changed by what
 * the caller states. It is never assumed.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming the fields to state
 */
export function knownPreprocessing(
  { path, tensors }: Pick<TensorSource, "path" | "tensors">,
  config: ClipConfig,
  stated: StatedPreprocessing | undefined,
  given: Partial<Preprocessing> = {},
): Preprocessing {
  const published = publishedPreprocessing(config);
  const archive = archiveActivation(tensors) ? CLIP_PREPROCESSING : undefined;
  const known = stated?.preprocessing ?? archive ?? published.preprocessing;
  const missing = known ? [] : NECESSARY.filter((field) => given[field] === undefined);
  if (missing.length === 0) return parsePreprocessing({ ...known, ...given }, "preprocessing");
  const { names } = published;
  const why =
    names.length > 0
      ? `the published weights of ${names.join(" and ")} differ in it`
      : "it is not a published model";
  throw invalidConfig(
    `cannot tell the preprocessing of ${path}: no file states it, and ${why}; pass preprocessing with ` +
      `${missing.join(", ")} (CLIP_PREPROCESSING, or --preprocessing clip, if it is CLIP's)`,
    { path, state: missing.map((field) => `preprocessing.${field}`) },
  );
}
