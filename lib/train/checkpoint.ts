import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { CONFIG_FILE } from "../checkpoints/resolve_config";
import type { Json } from "../data/dataset";
import { EvaClipError } from "../errors";
import { writeError } from "../io/file_error";
import { readJson } from "../io/json_file";
import type { ClipModel } from "../models/clip_model";
import type { Optimizer } from "../optim/optimizer";
import { readParameters, writeParameters } from "./parameter_file";

/** The names inside a checkpoint's folder. */
export const MODEL_FILE = "model.safetensors";
export const OPTIMIZER_FILE = "optimizer.safetensors";
export const STATE_FILE = "trainer_state.json";
export { CONFIG_FILE };

/** Holds the name of the newest checkpoint in its folder. */
const LATEST_FILE = "latest";
const CHECKPOINT_NAME = /^step-\d+$/;
const TEMPORARY_NAME = /^step-\d+\.(tmp|old)$/;

const trainerState = z.object({
  version: z.literal(1),
  /** Updates done. */
  step: z.number().int().nonnegative(),
  samplesSeen: z.number().int().nonnegative(),
  seed: z.number().int(),
  /** Where the data go on. */
  cursor: z.json(),
});

/** What a run needs besides tensors to go on exactly. */
export interface TrainerState extends Omit<z.infer<typeof trainerState>, "cursor"> {
  cursor: Json;
}

export interface CheckpointContent {
  readonly model: ClipModel;
  readonly optimizer: Optimizer;
  readonly state: TrainerState;
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Replaces `target` by `folder` in one rename, or two where there was something. */
async function moveInto(folder: string, target: string): Promise<void> {
  const isThere = await stat(target).then(
    () => true,
    () => false,
  );
  if (!isThere) return rename(folder, target);
  const old = `${target}.old`;
  await rm(old, { recursive: true, force: true });
  await rename(target, old);
  await rename(folder, target);
  await rm(old, { recursive: true, force: true });
}

async function removeStale(root: string, pattern: RegExp, kept: readonly string[] = []): Promise<void> {
  const names = (await readdir(root)).filter((name) => pattern.test(name) && !kept.includes(name));
  for (const name of names) await rm(join(root, name), { recursive: true, force: true });
}

/** Writes model, optimizer, state and configuration into a folder. */
async function writeFiles(folder: string, { model, optimizer, state }: CheckpointContent): Promise<void> {
  await writeParameters(join(folder, MODEL_FILE), model.parameters(), { format: "pt" });
  await writeParameters(join(folder, OPTIMIZER_FILE), optimizer.state());
  await writeDurably(join(folder, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`);
  await writeDurably(join(folder, CONFIG_FILE), `${JSON.stringify(model.config, null, 2)}\n`);
  await syncFolder(folder);
}

/**
 * Writes `root/step-NNNNNNN/{model.safetensors, optimizer.safetensors, trainer_state.json, config.json}`: into a
 * temporary folder that is flushed and renamed when it is whole, after which `root/latest` names it. On any failure the
 * temporary folder goes, and the checkpoints before stay as they are.
 *
 * @param keepLast Older checkpoints beyond so many are removed; left out, all are kept.
 * @returns The path of the new checkpoint.
 * @throws EvaClipError `ERR_EVACLIP_DISK_FULL` or `ERR_EVACLIP_IO`
 */
export async function writeCheckpoint(
  root: string,
  content: CheckpointContent,
  { keepLast = Number.POSITIVE_INFINITY }: { keepLast?: number } = {},
): Promise<string> {
  const name = `step-${String(content.state.step).padStart(7, "0")}`;
  const target = join(root, name);
  const temporary = `${target}.tmp`;
  try {
    await mkdir(root, { recursive: true });
    await removeStale(root, TEMPORARY_NAME);
    await mkdir(temporary);
    await writeFiles(temporary, content);
    await moveInto(temporary, target);
    await writeDurably(join(root, `${LATEST_FILE}.tmp`), `${name}\n`);
    await rename(join(root, `${LATEST_FILE}.tmp`), join(root, LATEST_FILE));
    await syncFolder(root);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    await rm(join(root, `${LATEST_FILE}.tmp`), { force: true }).catch(() => undefined);
    throw writeError(target, error);
  }
  if (Number.isFinite(keepLast)) {
    const all = (await readdir(root)).filter((entry) => CHECKPOINT_NAME.test(entry)).sort();
    await removeStale(root, CHECKPOINT_NAME, [...all.slice(-Math.max(1, keepLast)), name]);
  }
  return target;
}

/**
 * The folder of a checkpoint: `path` itself when it holds a model, or what its `latest` file names.
 * @returns undefined when `path` holds neither.
 */
export async function findCheckpoint(path: string): Promise<string | undefined> {
  const has = async (file: string) =>
    stat(join(path, file)).then(
      (found) => found.isFile(),
      () => false,
    );
  if (await has(MODEL_FILE)) return resolve(path);
  if (!(await has(LATEST_FILE))) return undefined;
  const name = (await readFile(join(path, LATEST_FILE), "utf8")).trim();
  if (!CHECKPOINT_NAME.test(name)) throw corrupt(join(path, LATEST_FILE), `names no checkpoint: ${name}`);
  return join(resolve(path), name);
}

/** The state that a checkpoint's folder holds. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO`. */
export async function readTrainerState(folder: string): Promise<TrainerState> {
  const path = join(folder, STATE_FILE);
  const parsed = trainerState.safeParse(await readJson(path));
  if (parsed.success) return parsed.data as TrainerState;
  const problems = parsed.error.issues.map(({ path: field, message }) => `${field.join(".")}: ${message}`);
  throw corrupt(path, `is not the state of a run: ${problems.join("; ")}`);
}

/**
 * Fills a model and its optimizer, both on a device, from a checkpoint's folder.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH`, `ERR_EVACLIP_CHECKPOINT_CORRUPT` or `ERR_EVACLIP_IO`
 */
export async function readCheckpoint(
  folder: string,
  { model, optimizer }: Pick<CheckpointContent, "model" | "optimizer">,
): Promise<TrainerState> {
  const state = await readTrainerState(folder);
  await readParameters(join(folder, MODEL_FILE), model.parameters());
  await readParameters(join(folder, OPTIMIZER_FILE), optimizer.state());
  return state;
}

function corrupt(path: string, problem: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", `${path} ${problem}`, { path });
}
