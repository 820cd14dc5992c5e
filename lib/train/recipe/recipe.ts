import { join } from "node:path";
import { EvaClip } from "../../clip/eva_clip";
import { openDevice } from "../../clip/eva_clip_options";
import type { Device } from "../../device";
import type { ClipModel } from "../../models/clip_model";
import { defaultPrecision } from "../../models/precision";
import type { Optimizer } from "../../optim/optimizer";
import { expectMemory } from "../../parameter";
import type { Initialization } from "../../weights/pretrained";
import { siglipObjective } from "../objective/siglip_objective";
import { type TrainingRun, type TrainResult, train } from "../train";
import type { TrainConfig } from "../train_config";
import type { TrainEvent } from "../train_events";
import { recipeBatches, recipeDataset } from "./recipe_data";
import { recipeEvaluation } from "./recipe_evaluation";
import { recipeModel, startModel } from "./recipe_model";
import { ownRecipe, type RecipeOptions } from "./recipe_options";
import { recipeOptimizer, recipeSchedule } from "./recipe_optimizer";
import { CHECKPOINTS, expectNoRun, METRICS_FILE, recordRun } from "./run_folder";
import { type RunLength, runLength } from "./run_length";

/** The objects of a run, and the function that frees them. */
interface Prepared {
  /** With the precision and the seed that the run has. */
  readonly options: RecipeOptions;
  readonly config: TrainConfig;
  readonly encoder: EvaClip;
  readonly initialization: Initialization | undefined;
  free(): Promise<void>;
}

/**
 * A run of `trainRecipe`: iterate it for events, await `result`. Its model, optimizer and device (unless it was given
 * one) are freed by disposing of it.
 */
export class RecipeRun implements AsyncIterable<TrainEvent>, AsyncDisposable {
  /** As `TrainingRun.result`; also rejects when the settings cannot be written, which stops the run. */
  readonly result: Promise<TrainResult>;
  /** What `train()` was given: model, optimizer, steps, schedule. */
  readonly config: TrainConfig;
  /** The model that is trained, to encode with; during the run, as it is after the current step. */
  readonly model: EvaClip;
  /** Where pretrained weights went; undefined without them and when resuming. */
  readonly initialization: Initialization | undefined;
  readonly #run: TrainingRun;
  readonly #prepared: Prepared;
  #disposed: Promise<void> | undefined;

  private constructor(prepared: Prepared) {
    const { config, encoder, initialization, options } = prepared;
    this.config = config;
    this.model = encoder;
    this.initialization = initialization;
    this.#prepared = prepared;
    const { resume, restartData = false, signal } = options;
    this.#run = train(config, {
      restartData,
      ...(resume !== undefined && { resume }),
      ...(signal && { signal }),
    });
    this.result = this.#follow();
  }

  /**
   * Use `trainRecipe()`.
   * @internal
   */
  static start(prepared: Prepared): RecipeRun {
    return new RecipeRun(prepared);
  }

  [Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void> {
    this.result.catch(() => undefined); // the iteration throws it
    return this.#run[Symbol.asyncIterator]();
  }

  /** Ends the run after the current step, with a checkpoint; `result` has the reason `stopped`. */
  stop(): void {
    this.#run.stop();
  }

  /** Writes a checkpoint after the current step. @returns Its path. */
  checkpoint(): Promise<string> {
    return this.#run.checkpoint();
  }

  /** Records the settings once the run has started, so that a refused run changes no file. */
  async #follow(): Promise<TrainResult> {
    const { options, initialization } = this.#prepared;
    const { folder } = options;
    for await (const event of this.#run) {
      if (event.type !== "start") continue;
      if (folder === undefined || event.step === event.steps) break;
      await recordRun({ ...options, folder }, initialization).catch(async (error: unknown) => {
        this.#run.stop();
        await this.#run.result.catch(() => undefined);
        throw error;
      });
      break;
    }
    return this.#run.result;
  }

  /** Stops the run if it is still going, waits for its end, and frees model, optimizer and device. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    this.stop();
    await this.result.catch(() => undefined);
    await this.#prepared.free();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** The configuration of `train()`, with the model on the device. */
async function prepareConfig(
  options: RecipeOptions,
  { device, model, optimizer, encoder }: Record<"device", Device> & Held,
): Promise<Pick<Prepared, "config" | "initialization">> {
  const dataset = await recipeDataset(options);
  const length = runLength(options, dataset);
  const schedule = recipeSchedule(options, length);
  const { seed = 0, patchDropout = {}, gradCheckpointing = false } = options;
  // Fails before anything is allocated if weights, gradients and moments do not fit.
  expectMemory([...model.parameters(), ...optimizer.state(), ...optimizer.parameters], device);
  const initialization = await startModel(model, options, device);
  const evaluate = await recipeEvaluation(options, encoder, length);
  const { rate = model.image.patchDropout, undroppedEnd = 0 } = patchDropout;
  const config: TrainConfig = {
    device,
    model,
    optimizer,
    data: recipeBatches(dataset, model, options),
    steps: length.steps,
    schedule,
    patchDropout: { rate, undroppedEnd },
    gradCheckpointing,
    seed,
    ...lossOf(options),
    ...filesOf(options, length),
    ...(evaluate && { evaluate }),
  };
  return { config, initialization };
}

function lossOf({
  loss,
  objective,
  afterUpdate,
}: RecipeOptions): Pick<TrainConfig, "objective" | "afterUpdate"> {
  const chosen = objective ?? (loss === "siglip" ? siglipObjective : undefined);
  return { ...(chosen && { objective: chosen }), ...(afterUpdate && { afterUpdate }) };
}

function filesOf(
  { folder, checkpoint = {} }: RecipeOptions,
  { stepsPerEpoch }: RunLength,
): Pick<TrainConfig, "checkpoint" | "metricsFile"> {
  if (folder === undefined) return {};
  const { everySteps, everyEpochs = 1, keepLast } = checkpoint;
  return {
    checkpoint: {
      directory: join(folder, CHECKPOINTS),
      every: everySteps ?? everyEpochs * stepsPerEpoch,
      ...(keepLast !== undefined && { keepLast }),
    },
    metricsFile: join(folder, METRICS_FILE),
  };
}

interface Held {
  readonly model: ClipModel;
  readonly optimizer: Optimizer;
  readonly encoder: EvaClip;
}

async function prepare(given: RecipeOptions): Promise<Prepared> {
  const { device, owned } = await openDevice({
    device: given.device ?? "auto",
    ...(given.threads !== undefined && { threads: given.threads }),
  });
  let held: Held | undefined;
  const free = async () => {
    await held?.encoder.dispose();
    held?.optimizer.dispose();
    held?.model.dispose();
    if (owned) await device.dispose();
  };
  try {
    if (device.fallbackReason !== undefined)
      given.logger?.warn?.(`cuda is not used: ${device.fallbackReason}`);
    const precision = given.precision ?? defaultPrecision(device.info.kind);
    const options = { ...given, precision };
    const model = recipeModel(options, precision);
    held = { model, optimizer: recipeOptimizer(model, options), encoder: new EvaClip(model, device) };
    const { encoder } = held;
    return { options, encoder, free, ...(await prepareConfig(options, { device, ...held })) };
  } catch (error) {
    await free();
    throw error;
  }
}

/**
 * Trains a model on images and captions by EVA-CLIP's recipe, as `eva-clip train` does: from a configuration or pretrained
 * weights, with learning rates per tower, a warm-up, evaluations, checkpoints and a folder for the run.
 *
 * ```ts
 * await using run = await trainRecipe({ model: "EVA02-CLIP-B-16", trainData: "shards/{000..099}.tar", steps: 10_000, folder: "runs/a" });
 * for await (const event of run) if (event.type === "step") console.log(event.step, event.loss);
 * const { checkpoint } = await run.result;
 * ```
 *
 * @returns The run, which has started. It ends by itself, by `stop()`, or by the signal; dispose of it to free its memory.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the option; `ERR_EVACLIP_RUN_EXISTS` when the folder
 *   contains another run; `ERR_EVACLIP_NO_DEVICE`; `ERR_EVACLIP_OUT_OF_MEMORY`; errors of opening data and pretrained
 *   weights. Later errors reject `result`, as those of `train()`.
 */
export async function trainRecipe(options: RecipeOptions): Promise<RecipeRun> {
  const own = ownRecipe(options);
  own.signal?.throwIfAborted();
  await expectNoRun(own);
  const prepared = await prepare(own);
  try {
    return RecipeRun.start(prepared);
  } catch (error) {
    await prepared.free();
    throw error;
  }
}
