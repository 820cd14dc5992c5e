import { join } from "node:path";
import { configOf } from "../../clip/model_files";
import type { Device } from "../../device";
import type { ClipConfig } from "../../models/clip_config";
import { parseClipConfig } from "../../models/clip_config";
import { ClipModel, SIGLIP_LOGITS } from "../../models/clip_model";
import { preprocessingOf } from "../../image/preprocessing";
import type { Precision } from "../../models/precision";
import { checkTokenizer } from "../../models/stated_tokenizer";
import { findCheckpoint } from "../../weights/checkpoint/checkpoint_folder";
import { type ConfigFields, withFields } from "../../weights/config/config_fields";
import { initializeModel } from "../../weights/initialize";
import { type Initialization, loadPretrained } from "../../weights/pretrained";
import { latestOfRun } from "../run/run_record";
import type { RecipeOptions } from "./recipe_options";
import { CHECKPOINTS } from "./run_folder";

/** The configuration of `options.model`, changed as the other options say. */
function recipeConfig({
  model,
  imageSize,
  contextLength,
  quickGelu,
  preprocessing,
  loss,
}: RecipeOptions): ClipConfig {
  const base = configOf(model);
  const pixels = { ...preprocessingOf(base), ...preprocessing };
  const needsLogits = loss === "siglip" && base.init_logit_bias === undefined;
  const fields: ConfigFields = {
    ...(needsLogits && SIGLIP_LOGITS),
    ...(quickGelu !== undefined && { quick_gelu: quickGelu }),
    ...(preprocessing && { preprocess_cfg: { ...pixels, mean: [...pixels.mean], std: [...pixels.std] } }),
    vision_cfg: imageSize === undefined ? {} : { image_size: imageSize },
    text_cfg: contextLength === undefined ? {} : { context_length: contextLength },
  };
  const config = parseClipConfig(withFields(base, fields));
  checkTokenizer(config, "trainRecipe: options.model");
  return config;
}

/** The model of a run, not yet allocated. */
export function recipeModel(options: RecipeOptions, precision: Precision): ClipModel {
  const { init = "published" } = options;
  return new ClipModel(recipeConfig(options), { precision, init });
}

/** Whether the run continues from a checkpoint, whose weights replace any that it would start from. */
async function willResume({ resume, folder }: RecipeOptions): Promise<boolean> {
  if (resume === undefined) return false;
  const found = resume === "latest" ? latestOfRun(join(folder!, CHECKPOINTS)) : findCheckpoint(resume);
  return (await found) !== undefined;
}

/**
 * Allocates the model with the initial values of a run.
 * @returns the origin of the values; undefined if all are random or a checkpoint replaces them
 */
export async function startModel(
  model: ClipModel,
  options: RecipeOptions,
  device: Device,
): Promise<Initialization | undefined> {
  const { pretrained = {}, seed = 0, signal, logger, onDownload } = options;
  await initializeModel(model, device, { seed });
  const isPretrained = Object.values(pretrained).some((weights) => weights !== undefined);
  if (!isPretrained || (await willResume(options))) return undefined;
  const how = { ...(signal && { signal }), ...(logger && { logger }), ...(onDownload && { onDownload }) };
  return loadPretrained(model, pretrained, how);
}
