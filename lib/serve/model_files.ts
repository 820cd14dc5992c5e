import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { EvaClipError } from "../errors";
import { type ClipConfig, parseClipConfig } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import { modelConfig } from "../models/known_models";
import { CONFIG_FILE, findCheckpoint, MODEL_FILE, readJson, writeError } from "../train/checkpoint";
import { writeParameters } from "../train/parameter_file";
import type { ConfigSource } from "./eva_clip_options";

/** @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL` or `ERR_EVACLIP_INVALID_CONFIG` */
export function resolveConfig(source: ConfigSource): ClipConfig {
  return typeof source === "string" ? modelConfig(source) : parseClipConfig(source);
}

/** The weights and the configuration that a path stands for. */
export interface ModelFiles {
  readonly weights: string;
  readonly config: ClipConfig;
}

/**
 * Finds a model: a checkpoint's folder, a folder of checkpoints with a `latest` file, or a .safetensors file.
 * @throws EvaClipError `ERR_EVACLIP_IO` when there is none, `ERR_EVACLIP_INVALID_CONFIG` without a configuration
 */
export async function findModel(path: string, given?: ConfigSource): Promise<ModelFiles> {
  const found = await stat(path).catch((error: Error) => {
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot open ${path}: ${error.message}`, { path });
  });
  const folder = found.isDirectory() ? await findCheckpoint(path) : dirname(path);
  if (folder === undefined) {
    const message = `${path} holds no model: expected ${MODEL_FILE}, or a folder of checkpoints with a latest file`;
    throw new EvaClipError("ERR_EVACLIP_IO", message, { path });
  }
  const weights = found.isDirectory() ? join(folder, MODEL_FILE) : path;
  if (given !== undefined) return { weights, config: resolveConfig(given) };
  const configPath = join(folder, CONFIG_FILE);
  const hasConfig = await stat(configPath).then(
    () => true,
    () => false,
  );
  if (!hasConfig) {
    const message = `${path} has no ${CONFIG_FILE} beside it: give the model's name or configuration as config`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_CONFIG", message, { path });
  }
  return { weights, config: parseClipConfig(await readJson(configPath)) };
}

/** Writes the weights and the configuration that `findModel` finds. @throws EvaClipError `ERR_EVACLIP_DISK_FULL`, `ERR_EVACLIP_IO` */
export async function saveModel(directory: string, model: ClipModel): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await writeParameters(join(directory, MODEL_FILE), model.parameters(), { format: "pt" });
    const config = join(directory, CONFIG_FILE);
    await writeFile(`${config}.tmp`, `${JSON.stringify(model.config, null, 2)}\n`);
    await rename(`${config}.tmp`, config);
  } catch (error) {
    throw writeError(directory, error);
  }
}
