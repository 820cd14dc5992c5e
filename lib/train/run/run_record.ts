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
  /** Of the checkpoints that the run writes; null for that of checkpoints older than this file. */
  lineage: z.string().nullable(),
  /** The checkpoint that the run went on from: its name in this folder, or a path. */
  from: z.string().nullable(),
});

/** The run that was started last in a folder of checkpoints. */
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
 * The checkpoint that `latest` stands for in training: the newest of the run that was started last, or the one that
 * that run went on from while it has none of its own. One that is damaged is named all the same: whoever reads it says so.
 * @returns undefined when that run began anew and has saved nothing
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
  const message = `the run in ${root} went on from ${from}, which is gone, and has saved no checkpoint since`;
  throw new EvaClipError("ERR_EVACLIP_IO", message, { path: from });
}

/**
 * The error for a checkpoint that cannot be read: that of reading it, and the newest whole checkpoint beside it, of the run
 * that was started last if there is one. Which to go on from is left to the user: steps are lost by it.
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
  const advice = `${message}. The newest whole checkpoint beside it is ${whole}: to go on from that one, --resume ${whole}`;
  return new EvaClipError(code, advice, { ...details, whole }, { cause: error });
}

/** What a run that starts means for the checkpoints of its folder. */
export interface RunStart {
  readonly record: RunRecord;
  /** The checkpoint gone on from, when it is one that a run has saved in the same folder. */
  readonly name?: string;
  /** Whether what else there is of a run with this folder, its metrics, is of the run gone on from. */
  readonly isContinued: boolean;
  /** Checkpoints of the same folder and lineage that were made from there on. */
  readonly abandoned: readonly string[];
}

/** A run that begins anew. @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the folder holds checkpoints. */
export async function startFresh(root: string): Promise<RunStart> {
  await expectEmpty(
    root,
    "to go on with them, resume the run (--resume latest); for a new run, choose another name",
  );
  return { record: { version: 1, lineage: randomUUID(), from: null }, isContinued: false, abandoned: [] };
}

/**
 * A run that goes on from a checkpoint: of the same lineage when that is the newest of it in this folder. A copy there under
 * a name of its own is never replaced or removed, nor `latest`; a lineage begins with it as with one of another folder.
 * @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the checkpoint is of another folder and this one holds others
 */
export async function startFrom(
  root: string,
  folder: string,
  { step, lineage }: TrainerState,
): Promise<RunStart> {
  const isInside = (await realpath(dirname(folder))) === (await realpath(root));
  if (!isInside) {
    const advice = `they are not of the run in ${dirname(folder)}; go on with them (--resume latest), or choose another name`;
    await expectEmpty(root, advice);
    const from = resolve(folder);
    // Such a run may have been started before, and have saved nothing.
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
  const message = `${root} holds the checkpoints of another run (the newest is ${names[0]}): ${advice}`;
  throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path: root });
}

/** Records that the run starts, so that `latest` is its from now on. */
export async function recordStart(root: string, { record, name }: RunStart): Promise<void> {
  await writeJson(join(root, RECORD_FILE), record);
  if (name !== undefined) await setLatest(root, name);
}
