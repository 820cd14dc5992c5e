import { join } from "node:path";
import { EvaClipError } from "../errors";
import { statIfThere } from "../io/model_path";
import type { WeightsChoice } from "../io/moving_average";
import { openTensors } from "../io/open_tensors";
import type { TensorSource } from "../io/tensor_source";
import { isModelName } from "../models/known_models";
import { findCheckpoint, MODEL_FILE } from "./checkpoint/checkpoint_folder";

/**
 * Opens a file of weights: safetensors, a PyTorch archive, an index of shards, a folder with one of these, a checkpoint's
 * folder, or a folder of checkpoints. The result is for `loadWeights`, and has to be closed.
 * @throws EvaClipError `ERR_EVACLIP_IO` when there are none, `ERR_EVACLIP_CHECKPOINT_CORRUPT`
 */
export async function openWeights(path: string, choice: WeightsChoice = {}): Promise<TensorSource> {
  const found = await statIfThere(path);
  if (found === undefined && isModelName(path)) {
    const message = `${path} is the name of a published model, and there is no file of that name: give the path of its weights`;
    throw new EvaClipError("ERR_EVACLIP_IO", message, { path });
  }
  const checkpoint = found?.isDirectory() ? await findCheckpoint(path) : undefined;
  return openTensors(checkpoint === undefined ? path : join(checkpoint, MODEL_FILE), choice);
}
