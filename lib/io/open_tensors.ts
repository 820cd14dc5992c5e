import { open } from "node:fs/promises";
import { join } from "node:path";
import { EvaClipError } from "../errors";
import { FORMAT_BYTES, foreignFormat } from "./foreign_format";
import { statIfThere, statModelFile, statModelPath } from "./model_path";
import type { WeightsChoice } from "./moving_average";
import { openPytorch } from "./pytorch/pytorch_file";
import { openSafetensors } from "./safetensors";
import { openShards } from "./sharded_file";
import type { TensorSource } from "./tensor_source";
import { withoutWrapperNames } from "./wrapper_names";

/** What a model's folder may hold; the first that is there is taken. */
const MODEL_FILES = [
  "model.safetensors",
  "open_clip_model.safetensors",
  "open_clip_pytorch_model.bin",
  "pytorch_model.bin",
].flatMap((name) => [name, `${name}.index.json`]);

/** A safetensors header is JSON behind its length, which is far below 2⁵⁶. */
const LENGTH_BYTES = 8;
const OPENING_BRACE = "{".charCodeAt(0);

type FileKind = "safetensors" | "pytorch" | "index";

/** What a file is, by its first bytes; its name decides only between kinds of damage. */
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

/** The file of a model's folder. */
async function findModelFile(folder: string): Promise<string> {
  for (const name of MODEL_FILES) {
    const path = join(folder, name);
    if (await statIfThere(path)) return path;
  }
  const message = `${folder} holds no model: expected one of ${MODEL_FILES.join(", ")}`;
  throw new EvaClipError("ERR_EVACLIP_IO", message, { path: folder });
}

async function openAny(path: string, choice: WeightsChoice): Promise<TensorSource> {
  const file = (await statModelPath(path)).isDirectory() ? await findModelFile(path) : path;
  const kind = await kindOf(file);
  if (kind !== "index") return openFile(file, kind, choice);
  return openShards(file, async (shard) => openFile(shard, await kindOf(shard), choice));
}

/**
 * Opens the tensors of a safetensors file, of a PyTorch checkpoint, of an index with its shards, or of a folder that holds
 * one of them under its usual name. The content of a file decides what it is, not its name. Tensors have the names that
 * they have in the model, without those that `torch.compile`, FSDP, DeepSpeed and the like put before and into them.
 *
 * @throws EvaClipError `ERR_EVACLIP_IO` when there is none or it cannot be read; `ERR_EVACLIP_CHECKPOINT_CORRUPT` naming
 *   the file and what is wrong with it; `ERR_EVACLIP_CHECKPOINT_MISMATCH` when it holds a moving average of the weights as
 *   well, and `choice` does not say which are meant
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
