import { stat } from "node:fs/promises";
import { join } from "node:path";
import { openTensors } from "../io/open_tensors";
import type { TensorSource } from "../io/tensor_source";
import { findCheckpoint, MODEL_FILE } from "./checkpoint";

/**
 * Opens the weights that a path stands for: a checkpoint's folder, a folder of checkpoints with a `latest` file, or what
 * `openTensors` opens.
 * @throws EvaClipError `ERR_EVACLIP_IO` when there are none, `ERR_EVACLIP_CHECKPOINT_CORRUPT`
 */
export async function openWeights(path: string): Promise<TensorSource> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const checkpoint = isFolder ? await findCheckpoint(path) : undefined;
  return openTensors(checkpoint === undefined ? path : join(checkpoint, MODEL_FILE));
}
