import { open } from "node:fs/promises";
import { join } from "node:path";
import { EvaClipError } from "../errors";
import { FORMAT_BYTES, foreignFormat } from "./foreign_format";
import { exists, statModelFile, statModelPath } from "./model_path";
import type { WeightsChoice } from "./moving_average";
import { openPytorch } from "./pytorch/pytorch_file";
import { openSafetensors } from "./safetensors";
import { openShards } from "./sharded_file";
import type { TensorSource } from "./tensor_source";
import { withoutWrapperNames } from "./wrapper_names";

/** File names of weights in a model's folder, in order of preference. */
export const MODEL_FILES: readonly string[] = [
  "model.safetensors",
  "open_clip_model.safetensors",
  "open_clip_pytorch_model.bin",
  "pytorch_model.bin",
].flatMap((name) => [name, `${name}.index.json`]);

/** A safetensors file begins with the length of its header, far below 2⁵⁶, and the header, which is JSON. */
const LENGTH_BYTES = 8;
const OPENING_BRACE = "{".charCodeAt(0);

type FileKind = "safetensors" | "pytorch" | "index";

/** The kind of a file, by its first bytes; its name decides only which format a damaged file is reported as. */
async function kindOf(path: string): Promise<FileKind> {
  const { size } = await statModelFile(path);
  const file = await open(path, "r");
  const { bytesRead, buffer } = await file
    .read(Buffer.alloc(FORMAT_BYTES), 0, FORMAT_BYTES, 0)
    .finally(() => file.close());
  const start = buffer.subarray(0, bytesRead);
  if (start[LENGTH_BYTES - 1] === 0 && start[LENGTH_BYTES] === OPENING_BRACE) return "safetensors";
  if (start[0] === OPENING_BRACE) return "index";
  const isDamaged = foreignFormat(start, size)?.kind === "CORRUPT";
  const isShort = start.length <= LENGTH_BYTES;
  return isDamaged && (isShort || path.endsWith(".safetensors")) ? "safetensors" : "pytorch";
}

/** Opens one file that is not an index. */
async function openFile(path: string, kind: FileKind, choice: WeightsChoice): Promise<TensorSource> {
  if (kind === "safetensors") return openSafetensors(path);
  if (kind === "pytorch") return openPytorch(path, choice);
  const problem = `${path} is JSON; expected a safetensors file or a PyTorch checkpoint`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", problem, { path });
}

/** The file of weights in a model's folder. */
async function findModelFile(folder: string): Promise<string> {
  for (const name of MODEL_FILES) {
    const path = join(folder, name);
    if (await exists(path)) return path;
  }
  const message = `${folder} has no model: expected one of ${MODEL_FILES.join(", ")}`;
  throw new EvaClipError("ERR_EVACLIP_IO", message, { path: folder });
}

async function openAny(path: string, choice: WeightsChoice): Promise<TensorSource> {
  const file = (await statModelPath(path)).isDirectory() ? await findModelFile(path) : path;
  const kind = await kindOf(file);
  if (kind !== "index") return openFile(file, kind, choice);
  return openShards(file, async (shard) => openFile(shard, await kindOf(shard), choice));
}

/**
 * Opens the tensors of a safetensors file, a PyTorch checkpoint, an index with its shards, or a folder that contains one
 * of these under its usual name. Files are recognized by content, not by name. Tensor names are those of the model, without
 * the prefixes of `torch.compile`, FSDP, DeepSpeed and similar wrappers.
 *
 * @throws EvaClipError `ERR_EVACLIP_IO` when it does not exist or cannot be read; `ERR_EVACLIP_CHECKPOINT_CORRUPT` naming
 *   the file and the damage; `ERR_EVACLIP_CHECKPOINT_MISMATCH` when it has both weights and their moving average and
 *   `choice` does not choose
 */
export async function openTensors(path: string, choice: WeightsChoice = {}): Promise<TensorSource> {
  const source = await openAny(path, choice).catch((error: Error) => {
    if (error instanceof EvaClipError) throw error;
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot open ${path}: ${error.message}`, { path });
  });
  try {
    return withoutWrapperNames(source, choice);
  } catch (error) {
    await source.close();
    throw error;
  }
}
