import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { shortened } from "../../arguments";
import { EvaClipError } from "../../errors";
import { writeError } from "../../io/file_error";
import { exists } from "../../io/model_path";
import { replaceFile } from "../../io/replace_file";
import { openSafetensors } from "../../io/safetensors";
import { readStateFile, type TrainerState } from "./trainer_state";

const GROUP_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** Whether a parameter group may have this name, which is also that of its file. */
export function isGroupName(name: string): boolean {
  return GROUP_NAME.test(name);
}

/** The file of a parameter group in a checkpoint's folder. */
export function groupFile(name: string): string {
  return `${name}.safetensors`;
}

/** The file of the model's own parameters, from which the model alone can be loaded. */
export const MODEL_FILE = groupFile("model");

/** Contains the name of the newest checkpoint in its folder. */
const LATEST_FILE = "latest";
const CHECKPOINT_NAME = /^step-\d+$/;
/** Suffix of a checkpoint that is being replaced by another of its name. */
const REPLACED = ".old";
const REPLACED_NAME = /^step-\d+\.old$/;
const UNFINISHED_NAME = /^step-\d+\.tmp$/;

export function checkpointName(step: number): string {
  return `step-${String(step).padStart(7, "0")}`;
}

/** Names of the checkpoints in a folder, the newest first. */
export async function listCheckpoints(root: string): Promise<string[]> {
  const names = await readdir(root).catch((): string[] => []);
  const stepOf = (name: string) => Number(name.slice("step-".length));
  return names.filter((name) => CHECKPOINT_NAME.test(name)).sort((a, b) => stepOf(b) - stepOf(a));
}

/**
 * Cleans up after a killed process: restores a checkpoint that was being replaced, removes unfinished ones.
 * @throws EvaClipError `ERR_EVACLIP_IO`
 */
export async function recoverFolder(root: string): Promise<void> {
  try {
    for (const name of await readdir(root)) {
      const path = join(root, name);
      if (UNFINISHED_NAME.test(name)) await rm(path, { recursive: true, force: true });
      if (!REPLACED_NAME.test(name)) continue;
      const target = path.slice(0, -REPLACED.length);
      if (await exists(target)) await rm(path, { recursive: true, force: true });
      else await rename(path, target);
    }
  } catch (error) {
    throw writeError(root, error);
  }
}

/** Renames a complete checkpoint to its final name; an existing one of that name is kept until then. */
export async function moveInto(folder: string, target: string): Promise<void> {
  if (!(await exists(target))) return rename(folder, target);
  const old = target + REPLACED;
  await rm(old, { recursive: true, force: true });
  await rename(target, old);
  await rename(folder, target);
  await rm(old, { recursive: true, force: true });
}

/** Makes `latest` name a checkpoint of the folder. */
export async function setLatest(root: string, name: string): Promise<void> {
  await replaceFile(join(root, LATEST_FILE), (file) => file.writeFile(`${name}\n`));
}

/** The state of a checkpoint whose files all exist and have their full length; otherwise undefined. */
async function stateIfWhole(folder: string): Promise<TrainerState | undefined> {
  try {
    const state = await readStateFile(folder);
    for (const name of Object.keys(state.groups))
      await (await openSafetensors(join(folder, groupFile(name)))).close();
    return state;
  } catch {
    return undefined;
  }
}

/** The newest complete checkpoint of a folder among those that `isWanted` accepts. */
export async function newestCheckpoint(
  root: string,
  isWanted: (state: TrainerState, folder: string) => boolean = () => true,
): Promise<string | undefined> {
  const names = await readdir(root).catch((): string[] => []);
  const replaced = names.filter(
    (name) => REPLACED_NAME.test(name) && !names.includes(name.slice(0, -REPLACED.length)),
  );
  const byStep: { folder: string; step: number }[] = [];
  for (const name of [...(await listCheckpoints(root)), ...replaced]) {
    const folder = join(resolve(root), name);
    const state = await stateIfWhole(folder);
    if (state && isWanted(state, folder)) byStep.push({ folder, step: state.step });
  }
  return byStep.sort((a, b) => b.step - a.step)[0]?.folder;
}

/** The checkpoint that the file `latest` names; undefined if either does not exist. */
export async function namedLatest(root: string): Promise<string | undefined> {
  const path = join(root, LATEST_FILE);
  if (!(await exists(path))) return undefined;
  const name = (await readFile(path, "utf8")).trim();
  if (!CHECKPOINT_NAME.test(name)) {
    const message = `${path} does not name a checkpoint: ${shortened(name)}. Delete the file to use the newest complete checkpoint`;
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", message, { path });
  }
  const folder = join(resolve(root), name);
  return (await exists(folder)) ? folder : undefined;
}

/**
 * The folder of a checkpoint: `path` itself if it contains a model, otherwise the checkpoint in it that `latest` names,
 * or the newest complete one.
 * @returns undefined when there is none.
 */
export async function findCheckpoint(path: string): Promise<string | undefined> {
  if (await exists(join(path, MODEL_FILE))) return resolve(path);
  return (await namedLatest(path)) ?? (await newestCheckpoint(path));
}
