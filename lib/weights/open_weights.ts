import { join } from "node:path";
import { checkArgument, flag, options, ownArgument, pathText } from "../arguments";
import { EvaClipError } from "../errors";
import { statIfThere } from "../io/model_path";
import type { WeightsChoice } from "../io/moving_average";
import { openTensors } from "../io/open_tensors";
import type { TensorSource } from "../io/tensor_source";
import { modelNamed } from "../models/known_models";
import { findCheckpoint, MODEL_FILE } from "./checkpoint/checkpoint_folder";

const openOptions = options({ ema: flag.optional() }).optional();

/**
 * Opens a weight file: safetensors, a PyTorch archive, a shard index, a folder with one of these, a checkpoint folder, or
 * a folder of checkpoints. Pass the result to `loadWeights`, then close it.
 * @throws EvaClipError `ERR_EVACLIP_IO` when there are none, `ERR_EVACLIP_CHECKPOINT_CORRUPT`
 */
export async function openWeights(path: string, choice: WeightsChoice = {}): Promise<TensorSource> {
  checkArgument("openWeights: path", path, pathText);
  const own = ownArgument("openWeights: options", choice, openOptions);
  const found = await statIfThere(path);
  const named = found === undefined ? modelNamed(path) : undefined;
  if (named) {
    const advice =
      named.publishedAs === undefined
        ? "pass the path of its weights"
        : `its weights are published as ${named.publishedAs}; download them and pass their path`;
    const message = `${path} is the name of a published model, not a file: ${advice}`;
    throw new EvaClipError("ERR_EVACLIP_IO", message, { path, publishedAs: named.publishedAs });
  }
  const checkpoint = found?.isDirectory() ? await findCheckpoint(path) : undefined;
  return openTensors(checkpoint === undefined ? path : join(checkpoint, MODEL_FILE), own);
}
