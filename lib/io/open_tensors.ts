import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { EvaClipError } from "../errors";
import { openPytorch } from "./pytorch_file";
import { openSafetensors } from "./safetensors";
import { openShards } from "./sharded_file";
import type { TensorSource } from "./tensor_source";

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

/** What a file is, by its first bytes; what is neither JSON nor safetensors is for PyTorch's reader to judge. */
async function kindOf(path: string): Promise<FileKind> {
  const start = new Uint8Array(LENGTH_BYTES + 1);
  const file = await open(path, "r");
  const { bytesRead } = await file.read(start, 0, start.length, 0).finally(() => file.close());
  if (start[LENGTH_BYTES - 1] === 0 && start[LENGTH_BYTES] === OPENING_BRACE) return "safetensors";
  if (start[0] === OPENING_BRACE) return "index";
  return bytesRead < start.length ? "safetensors" : "pytorch";
}

/** Opens one file that is not an index. */
async function openFile(path: string, kind: FileKind): Promise<TensorSource> {
  if (kind === "safetensors") return openSafetensors(path);
  if (kind === "pytorch") return openPytorch(path);
  const problem = `${path} is JSON; expected a safetensors file or a PyTorch checkpoint`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", problem, { path });
}

/** The file of a model's folder. */
async function findModelFile(folder: string): Promise<string> {
  for (const name of MODEL_FILES) {
    const path = join(folder, name);
    const isThere = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isThere) return path;
  }
  const message = `${folder} holds no model: expected one of ${MODEL_FILES.join(", ")}`;
  throw new EvaClipError("ERR_EVACLIP_IO", message, { path: folder });
}

/**
 * Opens the tensors of a safetensors file, of a PyTorch checkpoint, of an index with its shards, or of a folder that holds
 * one of them under its usual name. The content of a file decides what it is, not its name.
 *
 * @throws EvaClipError `ERR_EVACLIP_IO` when there is none or it cannot be read; `ERR_EVACLIP_CHECKPOINT_CORRUPT` naming
 *   the file and what is wrong with it
 */
export async function openTensors(path: string): Promise<TensorSource> {
  try {
    const file = (await stat(path)).isDirectory() ? await findModelFile(path) : path;
    const kind = await kindOf(file);
    if (kind !== "index") return await openFile(file, kind);
    return await openShards(file, async (shard) => openFile(shard, await kindOf(shard)));
  } catch (error) {
    if (error instanceof EvaClipError) throw error;
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot open ${path}: ${(error as Error).message}`, { path });
  }
}
