import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import {
  checkArgument,
  instanceOf,
  options,
  ownArgument,
  pathText,
  positiveInteger,
  wholeNumber,
} from "../arguments";
import { CONFIG_FILE } from "../weights/config/resolve_config";
import { writeError } from "../io/file_error";
import { writeJson } from "../io/json_file";
import { makeFolder } from "../io/make_folder";
import { ClipModel } from "../models/clip_model";
import { Optimizer } from "../optim/optimizer";
import {
  checkpointName,
  listCheckpoints,
  MODEL_FILE,
  moveInto,
  OPTIMIZER_FILE,
  recoverFolder,
  setLatest,
} from "../weights/checkpoint/checkpoint_folder";
import { readParameters, writeParameters } from "../weights/parameter_file";
import {
  readStateFile,
  readTrainerState,
  STATE_FILE,
  type StateFile,
  type TrainerState,
} from "../weights/checkpoint/trainer_state";

export { findCheckpoint } from "../weights/checkpoint/checkpoint_folder";
export { CONFIG_FILE, MODEL_FILE, OPTIMIZER_FILE, readTrainerState, STATE_FILE, type TrainerState };

export interface CheckpointContent {
  readonly model: ClipModel;
  readonly optimizer: Optimizer;
  readonly state: TrainerState;
}

const modelAndOptimizer = { model: instanceOf(ClipModel), optimizer: instanceOf(Optimizer) };
const contentSchema = options({
  ...modelAndOptimizer,
  state: z.looseObject(
    {
      version: z.literal(1, { error: "1" }),
      step: wholeNumber,
      samplesSeen: wholeNumber,
      seed: z.int({ error: "an integer" }),
    },
    { error: "the state of a run" },
  ),
});
const jsonValue = z.json({ error: "a JSON value" });
const writeSchema = options({ keepLast: positiveInteger.optional() });
const targetSchema = z.looseObject(modelAndOptimizer, { error: "an object with a model and an optimizer" });

/** Writes model, optimizer, state and configuration into a folder. */
async function writeFiles(folder: string, { model, optimizer, state }: CheckpointContent): Promise<void> {
  const checksums = {
    model: await writeParameters(join(folder, MODEL_FILE), model.parameters(), { format: "pt" }),
    optimizer: await writeParameters(join(folder, OPTIMIZER_FILE), optimizer.state()),
  };
  const file: StateFile = { ...state, checksums };
  await writeJson(join(folder, STATE_FILE), file);
  await writeJson(join(folder, CONFIG_FILE), model.config);
}

/** Removes the oldest checkpoints of a lineage, and never the newest written or those of other lineages. */
async function removeOldest(
  root: string,
  newest: string,
  lineage: string | undefined,
  kept: number,
): Promise<void> {
  const earlier: string[] = [];
  for (const name of await listCheckpoints(root)) {
    const state = await readTrainerState(join(root, name)).catch(() => undefined);
    if (state && state.lineage === lineage && name !== newest) earlier.push(name);
  }
  for (const name of earlier.slice(kept - 1)) await rm(join(root, name), { recursive: true, force: true });
}

/**
 * Writes `root/step-NNNNNNN/{model.safetensors, optimizer.safetensors, trainer_state.json, config.json}`: into a
 * temporary folder that is flushed and renamed when it is whole, after which `root/latest` names it. On any failure the
 * temporary folder goes, and the checkpoints before stay as they are.
 *
 * @param options `keepLast`: older checkpoints of the same lineage beyond so many are removed; left out, all are kept.
 * @returns The path of the new checkpoint.
 * @throws EvaClipError `ERR_EVACLIP_DISK_FULL` or `ERR_EVACLIP_IO`; `ERR_EVACLIP_NOT_FINITE` when a parameter or a moment
 *   holds NaN or an infinity; `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export async function writeCheckpoint(
  root: string,
  given: CheckpointContent,
  options: { keepLast?: number } = {},
): Promise<string> {
  checkArgument("writeCheckpoint: root", root, pathText);
  const { model, optimizer, state } = ownArgument("writeCheckpoint: content", given, contentSchema);
  checkArgument("writeCheckpoint: content.state.cursor", state.cursor, jsonValue);
  const { keepLast } = ownArgument("writeCheckpoint: options", options, writeSchema);
  const { step, lineage } = state;
  const name = checkpointName(step);
  const target = join(root, name);
  const temporary = `${target}.tmp`;
  try {
    await makeFolder(root);
    await recoverFolder(root);
    await mkdir(temporary);
    await writeFiles(temporary, { model, optimizer, state });
    await moveInto(temporary, target);
    await setLatest(root, name);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw writeError(target, error);
  }
  // The checkpoint is whole; what cannot be removed now is tried again after the next.
  if (keepLast !== undefined) await removeOldest(root, name, lineage, keepLast).catch(() => undefined);
  return target;
}

/**
 * Fills a model and its optimizer, both on a device, from a checkpoint's folder.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH`, `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO` or
 *   `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export async function readCheckpoint(
  folder: string,
  target: Pick<CheckpointContent, "model" | "optimizer">,
): Promise<TrainerState> {
  checkArgument("readCheckpoint: folder", folder, pathText);
  const { model, optimizer } = ownArgument("readCheckpoint: target", target, targetSchema);
  const { checksums, ...state } = await readStateFile(folder);
  await readParameters(join(folder, MODEL_FILE), model.parameters(), checksums?.model);
  await readParameters(join(folder, OPTIMIZER_FILE), optimizer.state(), checksums?.optimizer);
  return state;
}
