import { randomUUID } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { EvaClipError } from "../errors";
import { readJson, writeJson } from "../io/json_file";
import { listCheckpoints, MODEL_FILE, namedLatest, newestCheckpoint, setLatest } from "./checkpoint_folder";
import { readTrainerState, type TrainerState } from "./trainer_state";

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
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return undefined;
  const parsed = runRecord.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", `${path} is not the record of a run`, { path });
}

/**
 * The checkpoint that `latest` stands for in training: the newest of the run that was started last, or the one that
 * that run went on from while it has none of its own.
 * @returns undefined when that run began anew and has saved nothing
 */
export async function latestOfRun(root: string): Promise<string | undefined> {
  const record = await readRecord(root);
  const isOwn = ({ lineage }: TrainerState) => record === undefined || (lineage ?? null) === record.lineage;
  const named = await namedLatest(root);
  if (named !== undefined && isOwn(await readTrainerState(named))) return named;
  const newest = await newestCheckpoint(root, isOwn);
  if (newest !== undefined || record === undefined || record.from === null) return newest;
  const from = resolve(root, record.from);
  const isThere = await stat(join(from, MODEL_FILE)).then(
    () => true,
    () => false,
  );
  if (isThere) return from;
  const message = `the run in ${root} went on from ${from}, which is gone, and has saved no checkpoint since`;
  throw new EvaClipError("ERR_EVACLIP_IO", message, { path: from });
}

/** What a run that starts means for the checkpoints of its folder. */
export interface RunStart {
  readonly record: RunRecord;
  /** The checkpoint gone on from, when it is in the same folder. */
  readonly name?: string;
  /** Checkpoints of the same folder and lineage that were made from there on. */
  readonly abandoned: readonly string[];
}

/** A run that begins anew. @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the folder holds checkpoints. */
export async function startFresh(root: string): Promise<RunStart> {
  await expectEmpty(
    root,
    "to go on with them, resume the run (--resume latest); for a new run, choose another name",
  );
  return { record: { version: 1, lineage: randomUUID(), from: null }, abandoned: [] };
}

/**
 * A run that goes on from a checkpoint: of the same lineage when that is the newest of it in this folder.
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
    return { record: { version: 1, lineage: randomUUID(), from: resolve(folder) }, abandoned: [] };
  }
  const name = basename(folder);
  const abandoned: string[] = [];
  for (const other of await listCheckpoints(root)) {
    const state = await readTrainerState(join(root, other)).catch(() => undefined);
    if (state && state.lineage === lineage && state.step > step) abandoned.push(other);
  }
  const isNewest = abandoned.length === 0;
  return {
    record: { version: 1, lineage: isNewest ? (lineage ?? null) : randomUUID(), from: name },
    name,
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
