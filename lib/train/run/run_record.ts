import { randomUUID } from "node:crypto";
import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { EvaClipError } from "../../errors";
import { readJson, writeJson } from "../../io/json_file";
import { exists } from "../../io/model_path";
import {
  checkpointName,
  listCheckpoints,
  MODEL_FILE,
  namedLatest,
  newestCheckpoint,
  setLatest,
} from "../../weights/checkpoint/checkpoint_folder";
import { readTrainerState, type TrainerState } from "../../weights/checkpoint/trainer_state";

const RECORD_FILE = "run.json";

const runRecord = z.object({
  version: z.literal(1),
  /** The lineage of the checkpoints that the run writes; null for checkpoints without one. */
  lineage: z.string().nullable(),
  /** The checkpoint that the run resumed: its name in this folder, or a path. */
  from: z.string().nullable(),
});

/** The most recently started run of a folder of checkpoints. */
type RunRecord = z.infer<typeof runRecord>;

async function readRecord(root: string): Promise<RunRecord | undefined> {
  const path = join(root, RECORD_FILE);
  if (!(await exists(path))) return undefined;
  const parsed = runRecord.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", `${path} is not the record of a run`, { path });
}

function isOfRun(record: RunRecord | undefined, { lineage }: TrainerState): boolean {
  return record === undefined || (lineage ?? null) === record.lineage;
}

/**
 * The checkpoint for `resume: "latest"`: the newest of the most recently started run, or, until that run has saved one,
 * the checkpoint that it resumed. A damaged checkpoint is returned too, so that reading it reports the damage.
 * @returns undefined when that run resumed nothing and has saved nothing
 */
export async function latestOfRun(root: string): Promise<string | undefined> {
  const record = await readRecord(root);
  const named = await namedLatest(root);
  if (named !== undefined) {
    const state = await readTrainerState(named).catch(() => undefined);
    if (state === undefined || isOfRun(record, state)) return named;
  }
  const newest = await newestCheckpoint(root, (state) => isOfRun(record, state));
  if (newest !== undefined || record === undefined || record.from === null) return newest;
  const from = resolve(root, record.from);
  if (await exists(join(from, MODEL_FILE))) return from;
  const message = `the run in ${root} resumed ${from}, which no longer exists, and has saved no checkpoint`;
  throw new EvaClipError("ERR_EVACLIP_IO", message, { path: from });
}

/**
 * The error for an unreadable checkpoint: the cause, and the newest complete checkpoint next to it, preferably of the
 * most recently started run. It is not resumed automatically, because that would silently lose steps.
 */
export async function damagedCheckpoint(folder: string, error: unknown): Promise<unknown> {
  const { code, message, details } = error as Partial<EvaClipError>;
  if (code !== "ERR_EVACLIP_CHECKPOINT_CORRUPT" && code !== "ERR_EVACLIP_IO") return error;
  const root = dirname(folder);
  const record = await readRecord(root).catch(() => undefined);
  const whole =
    (await newestCheckpoint(root, (state, other) => other !== folder && isOfRun(record, state))) ??
    (await newestCheckpoint(root, (_, other) => other !== folder));
  if (whole === undefined) return error;
  const advice = `${message}. The newest complete checkpoint is ${whole}: to resume it, pass --resume ${whole}`;
  return new EvaClipError(code, advice, { ...details, whole }, { cause: error });
}

/** The relation of a starting run to the checkpoints in its folder. */
export interface RunStart {
  readonly record: RunRecord;
  /** The checkpoint resumed, if a run has saved it in the same folder. */
  readonly name?: string;
  /** Whether the existing metrics belong to the run that is resumed. */
  readonly isContinued: boolean;
  /** Later checkpoints of the same folder and lineage than the one resumed. */
  readonly abandoned: readonly string[];
}

/** Starts a new run. @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the folder contains checkpoints. */
export async function startFresh(root: string): Promise<RunStart> {
  await expectEmpty(root, "to continue it, resume (--resume latest); for a new run, choose another name");
  return { record: { version: 1, lineage: randomUUID(), from: null }, isContinued: false, abandoned: [] };
}

/**
 * Resumes a checkpoint. The run continues its lineage if the checkpoint is the newest of it in this folder; otherwise, as
 * from another folder or from a copy under another name, a new lineage starts. Copies are never replaced, removed or `latest`.
 * @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the checkpoint is from another folder and this one contains others
 */
export async function startFrom(
  root: string,
  folder: string,
  { step, lineage }: TrainerState,
): Promise<RunStart> {
  const isInside = (await realpath(dirname(folder))) === (await realpath(root));
  if (!isInside) {
    const advice = `it is not the run in ${dirname(folder)}; resume it (--resume latest), or choose another name`;
    await expectEmpty(root, advice);
    const from = resolve(folder);
    // The same resume may have been started before without saving anything.
    const isContinued = (await readRecord(root))?.from === from;
    return { record: { version: 1, lineage: randomUUID(), from }, isContinued, abandoned: [] };
  }
  const name = basename(folder);
  const abandoned: string[] = [];
  for (const other of await listCheckpoints(root)) {
    const state = await readTrainerState(join(root, other)).catch(() => undefined);
    if (state && state.lineage === lineage && state.step > step) abandoned.push(other);
  }
  const isCopy = name !== checkpointName(step);
  const isSame = abandoned.length === 0 && !isCopy;
  return {
    record: { version: 1, lineage: isSame ? (lineage ?? null) : randomUUID(), from: name },
    ...(!isCopy && { name }),
    isContinued: true,
    abandoned,
  };
}

async function expectEmpty(root: string, advice: string): Promise<void> {
  const names = await listCheckpoints(root);
  if (names.length === 0) return;
  const message = `${root} contains checkpoints of another run (the newest is ${names[0]}): ${advice}`;
  throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path: root });
}

/** Records the start of the run, to which `latest` then refers. */
export async function recordStart(root: string, { record, name }: RunStart): Promise<void> {
  await writeJson(join(root, RECORD_FILE), record);
  if (name !== undefined) await setLatest(root, name);
}
