import { resolve } from "node:path";
import type { Json } from "../../data/dataset";
import { EvaClipError } from "../../errors";
import type { BatchAt, BatchSource } from "../batch_source";
import { readCheckpoint } from "../checkpoint";
import { findCheckpoint } from "../../weights/checkpoint/checkpoint_folder";
import { expectNoMetrics } from "../metrics_file";
import { damagedCheckpoint, latestOfRun, type RunStart, startFresh, startFrom } from "./run_record";
import { compareSettings, settingsOf } from "./run_settings";
import { groupsOf, type TrainConfig, type TrainOptions } from "../train_config";
import { readTrainerState, type TrainerState } from "../../weights/checkpoint/trainer_state";

/** The start of a run after all checks, which change nothing but the parameters on the device. */
export interface TrainingStart {
  readonly state: TrainerState;
  readonly stream: AsyncIterator<BatchAt>;
  /** The checkpoint resumed. */
  readonly folder?: string;
  /** Left out without a folder of checkpoints. */
  readonly run?: RunStart;
  readonly warnings: readonly string[];
}

/**
 * Finds and reads the checkpoint to resume, if any, and opens the data.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` for a checkpoint that this run cannot resume,
 *   `ERR_EVACLIP_RUN_EXISTS` when it would overwrite another run, and errors of reading the checkpoint and the data
 */
export async function openStart(
  config: TrainConfig,
  options: TrainOptions,
  source: BatchSource,
): Promise<TrainingStart> {
  const folder = await checkpointToResume(config, options);
  const settings = await settingsOf(config, source);
  if (folder === undefined) return freshStart(config, options, source, settings);
  const { checkpoint, metricsFile } = config;
  const ifWhole = <T>(reading: Promise<T>) =>
    reading.catch(async (error: unknown) => {
      throw await damagedCheckpoint(folder, error);
    });
  const saved = await ifWhole(readTrainerState(folder));
  checkState(folder, saved, config);
  const { restartData = false, ignore = [] } = options;
  const warnings = compareSettings(folder, saved, settings, restartData ? ["firstSamples"] : []);
  const run = checkpoint && (await startFrom(checkpoint.directory, folder, saved));
  if (run && !run.isContinued && metricsFile !== undefined) await expectNoMetrics(metricsFile);
  if (run && run.abandoned.length > 0) {
    const { abandoned } = run;
    const names = abandoned.length === 1 ? abandoned[0] : `${abandoned.at(-1)} to ${abandoned[0]}`;
    warnings.push(
      `${names} belong to the run that this one branches off from, and are replaced when it reaches their steps. To keep them, use another folder`,
    );
  }
  const cursor = restartData ? null : saved.cursor;
  const stream = openStream(source, cursor, folder);
  await ifWhole(readCheckpoint(folder, groupsOf(config), { ignore }));
  const lineage = run?.record.lineage ?? undefined;
  const { lineage: _, ...rest } = saved;
  const state = { ...rest, cursor, settings, ...(lineage !== undefined && { lineage }) };
  return { state, stream, folder, warnings, ...(run && { run }) };
}

async function freshStart(
  { checkpoint, metricsFile, seed = 0 }: TrainConfig,
  { resume }: TrainOptions,
  source: BatchSource,
  settings: TrainerState["settings"],
): Promise<TrainingStart> {
  const run = checkpoint && (await startFresh(checkpoint.directory));
  if (resume === undefined && metricsFile !== undefined) await expectNoMetrics(metricsFile);
  const lineage = run?.record.lineage ?? undefined;
  const state = { version: 1 as const, step: 0, samplesSeen: 0, seed, cursor: null, settings };
  const warnings =
    resume === undefined ? [] : [`nothing to resume in ${checkpoint!.directory}: the run starts from step 1`];
  return {
    state: lineage === undefined ? state : { ...state, lineage },
    stream: source.open(),
    warnings,
    ...(run && { run }),
  };
}

async function checkpointToResume(
  { checkpoint }: TrainConfig,
  { resume }: TrainOptions,
): Promise<string | undefined> {
  if (resume === undefined) return undefined;
  if (resume === "latest") return latestOfRun(checkpoint!.directory);
  const found = await findCheckpoint(resume);
  if (found !== undefined) return found;
  const missing = new EvaClipError("ERR_EVACLIP_IO", `there is no checkpoint in ${resume}`, { path: resume });
  throw await damagedCheckpoint(resolve(resume), missing);
}

function checkState(folder: string, { seed, step }: TrainerState, config: TrainConfig): void {
  const { seed: expected = 0, steps } = config;
  if (seed !== expected) {
    const message = `${folder} belongs to a run with another seed: expected ${expected}, found ${seed}`;
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, { path: folder, seed });
  }
  if (step <= steps) return;
  const message = `${folder} is at step ${step}, and the whole run has ${steps} steps (--steps includes those before a resume)`;
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { path: folder, step, steps });
}

function openStream(source: BatchSource, cursor: Json, folder: string): AsyncIterator<BatchAt> {
  try {
    return source.open(cursor ?? undefined);
  } catch (error) {
    const { code, message, details } = error as Partial<EvaClipError>;
    if (code !== "ERR_EVACLIP_DATA") throw error;
    const problem =
      details?.name === "datasetSize"
        ? `the data set has ${details.expected} samples and had ${details.found}, which changes the order`
        : message;
    throw new EvaClipError(
      "ERR_EVACLIP_CHECKPOINT_MISMATCH",
      `the data cannot continue from ${folder}: ${problem}. To start from the first sample again: --restart-data (restartData in train())`,
      { path: folder, ...details },
      { cause: error },
    );
  }
}
