import { join } from "node:path";
import { Device, EvaClip, EvaClipError } from "../index";
import type { Dataset } from "../data";
import type { Parameter } from "../graph";
import {
  AdamW,
  type ClipModel,
  Lamb,
  type Optimizer,
  parameterRules,
  type Schedule,
  type TowerLocks,
  type TrainConfig,
  type TrainingRun,
  type TrainResult,
  train,
  unlockedParameters,
} from "../train";
import type { Initialization } from "../weights";
import { writeError } from "../io/file_error";
import { writeJson } from "../io/json_file";
import { makeFolder } from "../io/make_folder";
import { expectMemory } from "../parameter";
import { checkScheduleFits } from "../train/train_config";
import { EXIT, type ExitCode } from "./exit_code";
import { openDataset } from "./open_dataset";
import { columns, count, printResult, say } from "./output";
import { TrainingProgress } from "./progress";
import type { TrainFlags } from "./train_command";
import { dataSource } from "./train_data";
import { evaluationFrom, type Length } from "./train_evaluation";
import { CHECKPOINTS, METRICS_FILE, PARAMS_FILE, REPORT_FILE, runFolder } from "./train_folder";
import { describeModel, startModel } from "./train_model";
import { StopSignals } from "./train_signals";

const DEFAULT_WARMUP = 2000;

/** Steps between checkpoints and evaluations, at most, where nobody knows how long an epoch is. */
const UNKNOWN_EPOCH_STEPS = 1000;

function lengthOf(flags: TrainFlags, dataset: Dataset): Length {
  const samples = flags.trainNumSamples ?? dataset.size;
  if (samples === undefined && flags.steps === undefined) {
    const message = "the data set does not say how many samples it has: give --train-num-samples or --steps";
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  const stepsPerEpoch =
    samples === undefined
      ? Math.min(UNKNOWN_EPOCH_STEPS, Math.ceil(flags.steps! / 10))
      : Math.floor(samples / flags.batchSize);
  if (stepsPerEpoch < 1) {
    const message = `--batch-size ${flags.batchSize} is more than the ${samples} samples of an epoch`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  return { steps: flags.steps ?? stepsPerEpoch * flags.epochs, stepsPerEpoch };
}

function locksFrom(flags: TrainFlags): TowerLocks {
  const { lockImage, lockImageUnlockedGroups, lockText, lockTextUnlockedLayers } = flags;
  const lock = (isLocked: boolean, unlockedGroups: number | undefined) =>
    isLocked ? { ...(unlockedGroups !== undefined && { unlockedGroups }) } : undefined;
  return { image: lock(lockImage, lockImageUnlockedGroups), text: lock(lockText, lockTextUnlockedLayers) };
}

function makeOptimizer(model: ClipModel, flags: TrainFlags): Optimizer {
  const { lr, wd, ld, beta1, beta2, eps, gradClipNorm } = flags;
  const all = model.parameters();
  const settings = {
    image: {
      learningRate: flags.visualLr ?? lr,
      weightDecay: flags.visualWd ?? wd,
      layerDecay: flags.visualLd ?? ld,
    },
    text: {
      learningRate: flags.textLr ?? lr,
      weightDecay: flags.textWd ?? wd,
      layerDecay: flags.textLd ?? ld,
    },
    other: { learningRate: lr, weightDecay: wd },
  };
  const rules = parameterRules(all, settings, unlockedParameters(all, locksFrom(flags)));
  const options = { beta1, beta2, eps, clipNorm: gradClipNorm ?? 0 };
  return flags.opt === "lamb"
    ? new Lamb(rules, { ...options, ...(flags.lambVariant && { variant: flags.lambVariant }) })
    : new AdamW(rules, options);
}

function scheduleFrom(
  flags: TrainFlags,
  { steps, stepsPerEpoch }: Length,
): Partial<Omit<Schedule, "totalSteps">> {
  const schedule = {
    kind: flags.skipScheduler ? "const" : flags.lrScheduler,
    warmupSteps: flags.warmup ?? Math.min(DEFAULT_WARMUP, Math.floor(steps / 10)),
    cooldownSteps: (flags.epochsCooldown ?? 0) * stepsPerEpoch,
  };
  checkScheduleFits({ steps, schedule });
  return schedule;
}

/** The configuration of the run, and what to free after it. */
async function prepare(flags: TrainFlags, device: Device, folder: string) {
  const dataset = await openDataset(flags.trainData, flags, {
    resampled: flags.datasetResampled,
    ...(flags.trainNumSamples !== undefined && { samplesPerEpoch: flags.trainNumSamples }),
  });
  const length = lengthOf(flags, dataset);
  const schedule = scheduleFrom(flags, length);
  const { seed, keepLast } = flags;
  const model = await describeModel(flags);
  const optimizer = makeOptimizer(model, flags);
  // Weights, moments and, as large as what they belong to, gradients: what does not fit is refused before it is begun.
  expectMemory([...model.parameters(), ...optimizer.state(), ...optimizer.parameters], device);
  const initialization = await startModel(model, flags, device, folder);
  const encoder = new EvaClip(model, device);
  const evaluate = await evaluationFrom(flags, encoder, length);
  const every = flags.saveSteps ?? flags.saveFrequency * length.stepsPerEpoch;
  const config: TrainConfig = {
    device,
    model,
    optimizer,
    data: dataSource(dataset, model, flags),
    steps: length.steps,
    schedule,
    patchDropout: {
      rate: flags.forcePatchDropout ?? model.image.patchDropout,
      undroppedEnd: flags.undroppedEnd,
    },
    seed,
    checkpoint: {
      directory: join(folder, CHECKPOINTS),
      every,
      ...(keepLast !== undefined && { keepLast }),
    },
    metricsFile: join(folder, METRICS_FILE),
    ...(evaluate && { evaluate }),
  };
  return { config, encoder, initialization };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** Keeps the run's settings, as open_clip's params.txt, and where its first weights are from. */
async function recordSettings(
  folder: string,
  flags: TrainFlags,
  report: Initialization | undefined,
): Promise<void> {
  try {
    await makeFolder(folder);
    await writeJson(join(folder, PARAMS_FILE), flags);
    if (report) await writeJson(join(folder, REPORT_FILE), { seed: flags.seed, init: flags.init, ...report });
  } catch (error) {
    throw writeError(folder, error);
  }
}

function tellSettings(folder: string, flags: TrainFlags, config: TrainConfig, device: Device): void {
  const sizeOf = (parameters: readonly Parameter[]) => parameters.reduce((sum, { size }) => sum + size, 0);
  const [total, trained] = [sizeOf(config.model.parameters()), sizeOf(config.optimizer.parameters)];
  const share = trained === total ? "" : ` (${count(trained)} of them trained)`;
  const { name, kind, threads, instructionSet } = device.info;
  say(
    columns([
      ["run", folder],
      ["model", `${flags.model}, ${count(total)} parameters${share}, ${flags.precision}`],
      ["device", `${kind}: ${name}, ${instructionSet}, ${threads} threads`],
      ["steps", `${config.steps} of ${flags.batchSize} samples`],
      [
        "optimizer",
        `${flags.opt} lr ${flags.lr} wd ${flags.wd} betas ${flags.beta1}, ${flags.beta2} eps ${flags.eps}`,
      ],
      ["schedule", JSON.stringify(config.schedule)],
      ["patch dropout", JSON.stringify(config.patchDropout)],
    ]),
  );
}

function describeResult({
  reason,
  step,
  samplesSeen,
  samplesPerSecond,
  loss,
  checkpoint,
}: TrainResult): string {
  return columns([
    ["ended", reason],
    ["step", step],
    ["samples seen", samplesSeen],
    ["samples/s", samplesPerSecond.toFixed(1)],
    ...(loss === undefined ? [] : [["loss", loss.toFixed(4)] as const]),
    ["checkpoint", checkpoint],
  ]);
}

/** Follows a run to its end. Its settings are written once it has started, so that a refused run changes no file. */
async function follow(
  run: TrainingRun,
  progress: TrainingProgress,
  onStart: () => Promise<void>,
): Promise<TrainResult> {
  for await (const event of run) {
    progress.show(event);
    if (event.type !== "start" || event.step === event.steps) continue;
    await onStart().catch(async (error: unknown) => {
      run.stop();
      await run.result.catch(() => undefined);
      throw error;
    });
  }
  return run.result;
}

async function runPrepared(
  flags: TrainFlags,
  folder: string,
  device: Device,
  { config, encoder, initialization }: Prepared,
  signals: StopSignals,
): Promise<ExitCode> {
  const { resume, restartData, json } = flags;
  const progress = new TrainingProgress(config.steps, flags.logEveryNSteps);
  try {
    tellSettings(folder, flags, config, device);
    const run = train(config, { restartData, ...(resume !== undefined && { resume }) });
    signals.onFirst(() => {
      progress.note("stopping after this step; a checkpoint will be saved. Again: stop at once");
      run.stop();
    });
    const result = await follow(run, progress, () => recordSettings(folder, flags, initialization));
    progress.stop();
    printResult(result, json, describeResult);
    return (result.reason === "stopped" && signals.exitCode) || EXIT.ok;
  } finally {
    progress.stop();
    await encoder.dispose();
    config.optimizer.dispose();
    config.model.dispose();
  }
}

/**
 * Trains as the flags say. A first SIGINT, SIGTERM or SIGHUP ends the run after the step under way, with a checkpoint;
 * a second one at once. That nobody reads its progress any more does not end it.
 */
export async function runTraining(flags: TrainFlags): Promise<ExitCode> {
  using signals = new StopSignals();
  const folder = await runFolder(flags);
  const { threads } = flags;
  await using device = await Device.open(flags.device, threads === undefined ? {} : { threads });
  if (device.fallbackReason !== undefined) say(`cuda is not used: ${device.fallbackReason}`);
  return await runPrepared(flags, folder, device, await prepare(flags, device, folder), signals);
}
