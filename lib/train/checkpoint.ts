import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import {
  checkArgument,
  instanceOf,
  invalidArgument,
  listOf,
  options,
  ownArgument,
  pathText,
  positiveInteger,
  shortened,
  text,
  wholeNumber,
} from "../arguments";
import { EvaClipError } from "../errors";
import { writeError } from "../io/file_error";
import { writeJson } from "../io/json_file";
import { makeFolder } from "../io/make_folder";
import { type ClipConfig, parseClipConfig } from "../models/clip_config";
import { Parameter } from "../parameter";
import {
  checkpointName,
  groupFile,
  isGroupName,
  listCheckpoints,
  MODEL_FILE,
  moveInto,
  recoverFolder,
  setLatest,
} from "../weights/checkpoint/checkpoint_folder";
import {
  readStateFile,
  readTrainerState,
  STATE_FILE,
  type StateFile,
  type TrainerState,
} from "../weights/checkpoint/trainer_state";
import { CONFIG_FILE } from "../weights/config/resolve_config";
import { checkParameterFile, readParameters, writeParameters } from "../weights/parameter_file";

export { findCheckpoint } from "../weights/checkpoint/checkpoint_folder";
export { CONFIG_FILE, MODEL_FILE, readTrainerState, STATE_FILE, type TrainerState };

/** Parameters by the name of their group: `model`, `optimizer` (`optimizer.state()`), and any others. */
export type ParameterGroups = Readonly<Record<string, readonly Parameter[]>>;

export interface CheckpointContent {
  /** The configuration of the model. */
  readonly config: ClipConfig;
  readonly groups: ParameterGroups;
  readonly state: TrainerState;
}

const parameterGroups = z
  .record(z.string(), listOf(instanceOf(Parameter), "a list of parameters"), {
    error: "an object with a list of parameters by name",
  })
  .refine((groups) => Object.hasOwn(groups, "model"), { error: "an object with the group model" });
const contentSchema = options({
  config: z.unknown(),
  groups: parameterGroups,
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
const readSchema = options({ ignore: listOf(text, "a list of names of parameter groups").optional() });

/** Writes every group, the state and the configuration into a folder. */
async function writeFiles(folder: string, { config, groups, state }: CheckpointContent): Promise<void> {
  const checksums: Record<string, number> = {};
  for (const [name, parameters] of Object.entries(groups))
    checksums[name] = await writeParameters(join(folder, groupFile(name)), parameters, { format: "pt" });
  const file: StateFile = { ...state, groups: checksums };
  await writeJson(join(folder, STATE_FILE), file);
  await writeJson(join(folder, CONFIG_FILE), config);
}

/** Removes the oldest checkpoints of a lineage, never the one just written or those of other lineages. */
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
 * Writes `root/step-NNNNNNN/`: `GROUP.safetensors` for each group of parameters, `trainer_state.json` and `config.json`.
 * They are written into a temporary folder, flushed, and renamed together, after which `root/latest` names the new
 * checkpoint. On any failure the temporary folder is removed, and earlier checkpoints stay as they are.
 *
 * @param options `keepLast`: how many checkpoints of the same lineage are kept, this one included; default all
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
  const content = ownArgument("writeCheckpoint: content", given, contentSchema);
  const { groups, state } = content;
  const config = parseClipConfig(content.config, "writeCheckpoint: content.config");
  checkGroupNames(groups);
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
    await writeFiles(temporary, { config, groups, state });
    await moveInto(temporary, target);
    await setLatest(root, name);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw writeError(target, error);
  }
  // The checkpoint is complete; what cannot be removed now is removed after the next one.
  if (keepLast !== undefined) await removeOldest(root, name, lineage, keepLast).catch(() => undefined);
  return target;
}

function checkGroupNames(groups: ParameterGroups): void {
  const wrong = Object.keys(groups).find((name) => !isGroupName(name));
  if (wrong === undefined) return;
  const shown = JSON.stringify(shortened(wrong));
  const message = `writeCheckpoint: content.groups has a group ${shown}: a name must be lowercase letters, digits, - and _`;
  throw invalidArgument(message, { field: "content.groups" });
}

/**
 * Fills groups of parameters, all on a device, from a checkpoint's folder. Groups, names and shapes are checked before the
 * first parameter changes.
 * @param options `ignore`: groups that are not read, and that either the checkpoint or `groups` may lack
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH`, also for a group that only one side has;
 *   `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO` or `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export async function readCheckpoint(
  folder: string,
  groups: ParameterGroups,
  options: { ignore?: readonly string[] } = {},
): Promise<TrainerState> {
  checkArgument("readCheckpoint: folder", folder, pathText);
  const own = ownArgument("readCheckpoint: groups", groups, parameterGroups);
  const { ignore = [] } = ownArgument("readCheckpoint: options", options, readSchema);
  const { groups: checksums, ...state } = await readStateFile(folder);
  checkGroups(folder, Object.keys(own), Object.keys(checksums), ignore);
  const read = Object.entries(own)
    .filter(([name]) => !ignore.includes(name))
    .map(([name, parameters]) => ({
      path: join(folder, groupFile(name)),
      parameters,
      checksum: checksums[name],
    }));
  for (const { path, parameters } of read) await checkParameterFile(path, parameters);
  for (const { path, parameters, checksum } of read) await readParameters(path, parameters, checksum);
  return state;
}

/** @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` for a group that only the checkpoint or only the reader has. */
function checkGroups(
  folder: string,
  expected: readonly string[],
  found: readonly string[],
  ignore: readonly string[],
): void {
  const only = (some: readonly string[], others: readonly string[]) =>
    some.filter((name) => !others.includes(name) && !ignore.includes(name));
  const [unread, missing] = [only(found, expected), only(expected, found)];
  if (unread.length + missing.length === 0) return;
  const problems = [
    ...unread.map((name) => `it has the parameter group ${name}, which is not read`),
    ...missing.map((name) => `it lacks the parameter group ${name}`),
  ];
  const left = JSON.stringify([...unread, ...missing]);
  const message = `${folder} has other parameter groups: ${problems.join("; ")}. To leave them out, ignore: ${left}`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, { path: folder, unread, missing });
}
