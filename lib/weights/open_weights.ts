import { join } from "node:path";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  flag,
  options,
  ownArgument,
  pathText,
  text,
} from "../arguments";
import { statModelPath } from "../io/model_path";
import type { WeightsChoice } from "../io/moving_average";
import { openTensors } from "../io/open_tensors";
import type { TensorSource } from "../io/tensor_source";
import { loggerArgument } from "../logger";
import { findCheckpoint, MODEL_FILE } from "./checkpoint/checkpoint_folder";
import { type LocateOptions, locateWeights } from "./locate_weights";

export interface OpenWeightsOptions extends WeightsChoice, LocateOptions {}

export const hubFields = {
  signal: abortSignal.optional(),
  onDownload: anyFunction.optional(),
  logger: loggerArgument.optional(),
};
/** Options of everything that opens weights. */
export const weightsFields = {
  ...hubFields,
  ema: flag.optional(),
  pretrained: text.min(1).optional(),
};
const openOptions = options(weightsFields).optional();

/**
 * Opens a weight file: safetensors, a PyTorch archive, a shard index, a folder with one of these, a checkpoint folder, or
 * a folder of checkpoints; or, where there is nothing at that path, the weights of a published model or of
 * `hf-hub:OWNER/NAME`, which are downloaded. Pass the result to `loadWeights`, then close it.
 * @throws EvaClipError `ERR_EVACLIP_IO` when there are none, `ERR_EVACLIP_CHECKPOINT_CORRUPT`,
 *   `ERR_EVACLIP_UNKNOWN_MODEL`, `ERR_EVACLIP_HUB_…`
 */
export async function openWeights(path: string, given: OpenWeightsOptions = {}): Promise<TensorSource> {
  checkArgument("openWeights: path", path, pathText);
  const { ema, ...how } = ownArgument("openWeights: options", given, openOptions);
  const place = await locateWeights(path, how);
  const isFolder = (await statModelPath(place)).isDirectory();
  const checkpoint = isFolder ? await findCheckpoint(place) : undefined;
  return openTensors(checkpoint === undefined ? place : join(checkpoint, MODEL_FILE), { ema });
}
