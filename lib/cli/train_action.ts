import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  AdamW,
  type BatchSource,
  batchesOf,
  type ClipModel,
  type Dataset,
  Device,
  EvaClip,
  EvaClipError,
  evaluateRetrieval,
  evaluateZeroShot,
  Lamb,
  type Optimizer,
  openClassFolder,
  type Parameter,
  parameterRules,
  type Schedule,
  type TowerLocks,
  type TrainConfig,
  type TrainResult,
  train,
  unlockedParameters,
} from "../index";
import { EXIT, type ExitCode } from "./exit_code";
import { openDataset } from "./open_dataset";
import { columns, count, printResult, say } from "./output";
import { TrainingProgress } from "./progress";
import type { TrainFlags } from "./train_command";
import { startModel } from "./train_model";

const DEFAULT_WARMUP = 2000;
/** Skipped samples that are told one by one; all are counted. */
const SHOWN_SKIPS = 10;

/** How long the run and its epochs are, in steps. */
interface Length {
  readonly steps: number;
  readonly stepsPerEpoch: number;
}

function lengthOf(flags: TrainFlags, dataset: Dataset): Length {
  const samples = flags.trainNumSamples ?? dataset.size;
  if (samples === undefined && flags.steps === undefined) {
    const message = "the data set does not say how many samples it has: give --train-num-samples or --steps";
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  const stepsPerEpoch = samples === undefined ? flags.steps! : Math.floor(samples / flags.batchSize);
  if (stepsPerEpoch < 1) {
    const message = `--batch-size ${flags.batchSize} is more than the ${samples} samples of an epoch`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
  }
  return { steps: flags.steps ?? stepsPerEpoch * flags.epochs, stepsPerEpoch };
}

function locksFrom(flags: TrainFlags): TowerLocks {
  const { lockImage, lockImageUnlockedGroups, lockText, lockTextUnlockedLayers } = flags;
  const lock = (isLocked: boolean, flag: string, unlockedGroups: number | undefined) => {
    if (isLocked) return unlockedGroups === undefined ? {} : { unlockedGroups };
    if (unlockedGroups === undefined) return undefined;
    throw new EvaClipError(
      "ERR_EVACLIP_INVALID_ARGUMENT",
      `${flag} is for a tower locked by ${flag.slice(0, flag.indexOf("-unlocked"))}`,
    );
  };
  return {
    image: lock(lockImage, "--lock-image-unlocked-groups", lockImageUnlockedGroups),
    text: lock(lockText, "--lock-text-unlocked-layers", lockTextUnlockedLayers),
  };
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
    ? new Lamb(rules, { ...options, variant: flags.lambVariant })
    : new AdamW(rules, options);
}

function scheduleFrom(
  flags: TrainFlags,
  { steps, stepsPerEpoch }: Length,
): Partial<Omit<Schedule, "totalSteps">> {
  return {
    kind: flags.skipScheduler ? "const" : flags.lrScheduler,
    warmupSteps: flags.warmup ?? Math.min(DEFAULT_WARMUP, Math.floor(steps / 10)),
    cooldownSteps: (flags.epochsCooldown ?? 0) * stepsPerEpoch,
  };
}

function dataSource(dataset: Dataset, model: ClipModel, flags: TrainFlags): BatchSource {
  let skips = 0;
  const { batchSize, seed, workers, maxSkips, cropScale, textBucket } = flags;
  return batchesOf(dataset, {
    batchSize,
    seed,
    imageSize: model.image.imageSize,
    contextLength: model.text.contextLength,
    ...(workers !== undefined && { concurrency: workers }),
    ...(maxSkips !== undefined && { maxSkips }),
    ...(cropScale !== undefined && { cropScale }),
    ...(textBucket !== undefined && { textBucket }),
    onSkip: ({ message }) => {
      if (++skips <= SHOWN_SKIPS) say(`skipped: ${message}`);
      if (skips === SHOWN_SKIPS) say("more skipped samples are counted, not shown");
    },
  });
}

/** Evaluations by the names of their flags, each when its epochs are over and at the end of the run. */
async function evaluation(
  flags: TrainFlags,
  encoder: EvaClip,
  { steps, stepsPerEpoch }: Length,
): Promise<TrainConfig["evaluate"]> {
  const { valData, valFrequency, imagenetVal, zeroshotFrequency } = flags;
  if (valData === undefined && imagenetVal === undefined) return undefined;
  const retrieval = valData === undefined ? undefined : await openDataset(valData, flags);
  const classes = imagenetVal === undefined ? undefined : await openClassFolder(imagenetVal);
  return {
    every: stepsPerEpoch,
    run: async (step) => {
      const isDue = (frequency: number) => step === steps || step % (frequency * stepsPerEpoch) === 0;
      const metrics: Record<string, number> = {};
      if (retrieval && isDue(valFrequency)) {
        const { imageToText, textToImage, protocol } = await evaluateRetrieval(encoder, retrieval);
        for (const k of [1, 5, 10] as const) {
          metrics[`image_to_text_R@${k}`] = imageToText[`recallAt${k}`];
          metrics[`text_to_image_R@${k}`] = textToImage[`recallAt${k}`];
        }
        say(protocol);
      }
      if (classes && isDue(zeroshotFrequency)) {
        const { top1, top5, protocol } = await evaluateZeroShot(encoder, classes);
        Object.assign(metrics, { "zeroshot-top1": top1, "zeroshot-top5": top5 });
        say(protocol);
      }
      return metrics;
    },
  };
}

function runFolder({ logs, name, resume }: TrainFlags): string {
  if (name === undefined && resume === "latest") {
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", "--resume latest needs the --name of the run");
  }
  return join(logs, name ?? new Date().toISOString().slice(0, 19).replaceAll(":", "-"));
}

/** The configuration of the run, and what to free after it. */
async function prepare(flags: TrainFlags, device: Device, folder: string) {
  const dataset = await openDataset(flags.trainData, flags, {
    resampled: flags.datasetResampled,
    ...(flags.trainNumSamples !== undefined && { samplesPerEpoch: flags.trainNumSamples }),
  });
  const length = lengthOf(flags, dataset);
  const { seed, keepLast } = flags;
  const model = await startModel(flags, device, folder);
  const encoder = new EvaClip(model, device);
  const evaluate = await evaluation(flags, encoder, length);
  const every = flags.saveSteps ?? flags.saveFrequency * length.stepsPerEpoch;
  const config: TrainConfig = {
    device,
    model,
    optimizer: makeOptimizer(model, flags),
    data: dataSource(dataset, model, flags),
    steps: length.steps,
    schedule: scheduleFrom(flags, length),
    patchDropout: {
      rate: flags.forcePatchDropout ?? model.image.patchDropout,
      undroppedEnd: flags.undroppedEnd,
    },
    seed,
    checkpoint: {
      directory: join(folder, "checkpoints"),
      every,
      ...(keepLast !== undefined && { keepLast }),
    },
    metricsFile: join(folder, "metrics.jsonl"),
    ...(evaluate && { evaluate }),
  };
  return { config, encoder };
}

/** The run's settings, as open_clip's params.txt, printed and kept. */
async function recordSettings(
  folder: string,
  flags: TrainFlags,
  config: TrainConfig,
  device: Device,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "params.json"), `${JSON.stringify(flags, null, 2)}\n`);
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
    ["loss", loss.toFixed(4)],
    ["checkpoint", checkpoint],
  ]);
}

/** Trains as the flags say. SIGINT ends the run after the step under way, with a checkpoint. */
export async function runTraining(flags: TrainFlags): Promise<ExitCode> {
  const folder = runFolder(flags);
  const { threads } = flags;
  await using device = await Device.open(flags.device, threads === undefined ? {} : { threads });
  if (device.fallbackReason !== undefined) say(`cuda is not used: ${device.fallbackReason}`);
  const { config, encoder } = await prepare(flags, device, folder);
  await recordSettings(folder, flags, config, device);
  const run = train(config, flags.resume === undefined ? {} : { resume: flags.resume });
  const progress = new TrainingProgress(config.steps, flags.logEveryNSteps);
  let interrupts = 0;
  const onInterrupt = () => {
    if (++interrupts > 1) process.exit(EXIT.interrupted);
    progress.note("stopping after this step; a checkpoint will be saved. Again: stop at once");
    run.stop();
  };
  process.on("SIGINT", onInterrupt);
  try {
    for await (const event of run) progress.show(event);
    const result = await run.result;
    progress.stop();
    printResult(result, flags.json, describeResult);
    return result.reason === "stopped" ? EXIT.interrupted : EXIT.ok;
  } finally {
    progress.stop();
    process.off("SIGINT", onInterrupt);
    await encoder.dispose();
    config.optimizer.dispose();
    for (const parameter of config.model.parameters()) parameter.dispose();
  }
}
