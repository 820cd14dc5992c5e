import { performance } from "node:perf_hooks";
import { EvaClipError } from "../errors";
import { recoverFolder } from "../weights/checkpoint/checkpoint_folder";
import type { TrainerState } from "../weights/checkpoint/trainer_state";
import { BatchFeed, type FedBatch } from "./batch_feed";
import { sourceOf } from "./batch_source";
import { LearningRates } from "./learning_rates";
import { MetricsFile } from "./metrics_file";
import { RunCheckpoints } from "./run/run_checkpoints";
import type { LockFile } from "../io/lock_file";
import { lockRun } from "./run/run_lock";
import { recordStart } from "./run/run_record";
import { openStart } from "./run/run_start";
import { checkTraining, patchDropoutAt, type TrainConfig, type TrainOptions } from "./train_config";
import { type EndReason, EventStream, type TrainEvent } from "./train_events";
import { checkFinite, type StepKind, TrainingStep } from "./training_step";

export type { TrainOptions };

export interface TrainResult {
  readonly reason: EndReason;
  /** Updates done. */
  readonly step: number;
  readonly samplesSeen: number;
  /** Time that this process spent on steps, waiting for batches included. */
  readonly seconds: number;
  readonly samplesPerSecond: number;
  /** Time for which the device waited for batches. */
  readonly dataWaitSeconds: number;
  /** The loss of the last step; undefined when this process did none. */
  readonly loss: number | undefined;
  /** The newest checkpoint, if there is one. */
  readonly checkpoint: string | undefined;
  /** Lines missing in the metrics file because they could not be written. */
  readonly unwrittenMetrics: number;
}

/**
 * A training run: iterate it for events, await `result`. It runs even without iteration; an iteration that starts right
 * after `train()` receives every event.
 */
export class TrainingRun implements AsyncIterable<TrainEvent> {
  /** Settles when the run has ended; rejects with the error that ended it, or the reason of an aborted signal. */
  readonly result: Promise<TrainResult>;
  readonly #events = new EventStream();
  readonly #step: TrainingStep;
  readonly #rates: LearningRates;
  readonly #checkpoints: RunCheckpoints;
  /** Aborted by `stop()` and by the signal in `TrainOptions`. */
  readonly #stopping = new AbortController();
  #metrics: MetricsFile | undefined;
  #state: TrainerState;
  /** Whether the parameters are those of `#state`. */
  #isConsistent = true;
  #seconds = 0;
  #dataWaitSeconds = 0;
  #firstSample = 0;
  #loss: number | undefined;

  /** Use `train()`. */
  constructor(
    private readonly config: TrainConfig,
    private readonly options: TrainOptions,
  ) {
    checkTraining(config, options);
    this.#step = new TrainingStep(config);
    this.#rates = new LearningRates(config);
    this.#checkpoints = new RunCheckpoints(config, (event) => this.#events.emit(event));
    this.#state = { version: 1, step: 0, samplesSeen: 0, seed: config.seed ?? 0, cursor: null };
    this.result = new Promise<void>((begin) => setImmediate(begin)).then(() => this.#run());
  }

  [Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void> {
    this.result.catch(() => undefined); // the iteration throws it
    return this.#events.listen();
  }

  /** Ends the run after the current step, with a checkpoint; `result` resolves with the reason `stopped`. */
  stop(): void {
    this.#stopping.abort(new EvaClipError("ERR_EVACLIP_ABORTED", "the run was stopped"));
  }

  /** Writes a checkpoint after the current step. @returns Its path. @throws EvaClipError when it cannot be written. */
  checkpoint(): Promise<string> {
    return this.#checkpoints.request();
  }

  async #run(): Promise<TrainResult> {
    try {
      const reason = await this.#runAlone();
      this.#events.emit({ type: "end", reason, step: this.#state.step });
      this.#events.end();
      return this.#summary(reason);
    } catch (error) {
      this.#events.end({ error });
      throw error;
    }
  }

  /** Runs while no other run can use its folder of checkpoints. */
  async #runAlone(): Promise<EndReason> {
    const { checkpoint } = this.config;
    const release = this.#listenToSignal();
    let lock: LockFile | undefined;
    let feed: BatchFeed | undefined;
    try {
      if (checkpoint) lock = await lockRun(checkpoint.directory);
      if (checkpoint) await recoverFolder(checkpoint.directory);
      feed = await this.#start();
      const reason = await this.#steps(feed);
      await this.#checkpoints.finish(this.#state);
      return reason;
    } catch (error) {
      await this.#saveAfter(error);
      throw error;
    } finally {
      this.#checkpoints.end();
      await this.#flushMetrics();
      release();
      this.#step.dispose();
      await feed?.close();
      await lock?.release();
    }
  }

  #listenToSignal(): () => void {
    const { signal } = this.options;
    const onAbort = () => this.#stopping.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    return () => signal?.removeEventListener("abort", onAbort);
  }

  /** Prepares the optimizer and reads the checkpoint to resume; files change only after everything is checked. */
  async #start(): Promise<BatchFeed> {
    const { device, model, optimizer, steps, metricsFile, checkpoint, data } = this.config;
    if (optimizer.state().some(({ allocated }) => !allocated)) await optimizer.allocate(device);
    const { state, stream, folder, run, warnings } = await openStart(
      this.config,
      this.options,
      sourceOf(data),
    );
    const warn = (message: string) => this.#events.emit({ type: "warning", message });
    if (metricsFile !== undefined) {
      this.#metrics = await MetricsFile.open(metricsFile, state.step, warn);
      this.#events.attach(this.#metrics);
    }
    if (checkpoint && run) await recordStart(checkpoint.directory, run);
    this.#state = state;
    if (folder !== undefined) this.#checkpoints.resumedFrom(folder, state.step);
    this.#firstSample = state.samplesSeen;
    for (const message of warnings) warn(message);
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    this.#events.emit({ type: "start", step: state.step, steps, parameters, device: device.info.name });
    return new BatchFeed(stream);
  }

  async #steps(feed: BatchFeed): Promise<EndReason> {
    const { steps } = this.config;
    const { signal } = this.#stopping;
    while (this.#state.step < steps) {
      if (signal.aborted) return this.#stopped();
      const begin = performance.now();
      const fed = await feed.take(signal).catch((error: unknown) => {
        if (signal.aborted && error === signal.reason) return "stop" as const;
        throw error;
      });
      if (fed === "stop") return this.#stopped();
      if (!fed) return "data_ended";
      await this.#update(fed, feed, begin);
      await this.#checkpoints.afterStep(this.#state);
      if (!signal.aborted) await this.#evaluate(signal);
      await this.#events.flush();
    }
    return this.options.signal?.aborted ? this.#stopped() : "finished";
  }

  #stopped(): EndReason {
    if (this.options.signal?.aborted) throw this.options.signal.reason;
    return "stopped";
  }

  async #evaluate(signal: AbortSignal): Promise<void> {
    const { evaluate, steps } = this.config;
    const { step } = this.#state;
    if (!evaluate || (step % evaluate.every !== 0 && step !== steps)) return;
    try {
      const metrics = await evaluate.run(step, signal);
      // A JavaScript function may return nothing.
      if (Object.keys(metrics ?? {}).length > 0) this.#events.emit({ type: "evaluate", step, metrics });
    } catch (error) {
      // An evaluation that is interrupted has neither a result nor a failure.
      if (!signal.aborted) throw error;
    }
  }

  #kindOf(step: number): StepKind {
    const { detail } = this.config;
    return {
      patchDropout: patchDropoutAt(step, this.config),
      detail: detail !== undefined && (step + 1) % detail.every === 0,
    };
  }

  /** One step: the device computes it while the next batch is prepared and staged. */
  async #update({ batch, cursor, staged }: FedBatch, feed: BatchFeed, begin: number): Promise<void> {
    const { step, seed } = this.#state;
    const started = performance.now();
    const { values: learningRates, largest: learningRate } = this.#rates.at(step);
    const time = { step, learningRates, seed, ...this.#kindOf(step) };
    const running = staged.then((inputs) => this.#step.run(batch, time, inputs));
    if (step + 1 < this.config.steps) feed.prepare((next) => this.#step.stage(next, this.#kindOf(step + 1)));
    const { layers, metrics, ...result } = await running;
    this.#isConsistent = !Number.isFinite(result.gradientNorm); // the update has changed the parameters
    checkFinite(result, step + 1);
    const end = performance.now();
    const samplesSeen = this.#state.samplesSeen + batch.size;
    this.#state = { ...this.#state, step: step + 1, samplesSeen, cursor };
    this.#isConsistent = true;
    this.#loss = result.loss;
    this.#seconds += (end - begin) / 1000;
    this.#dataWaitSeconds += (started - begin) / 1000;
    this.#events.emit({
      type: "step",
      step: step + 1,
      ...result,
      ...eventMetrics(metrics),
      learningRate,
      samplesSeen,
      samplesPerSecond: (1000 * batch.size) / (end - begin),
      dataWaitMs: started - begin,
      stepMs: end - started,
    });
    if (layers) this.#events.emit({ type: "layers", step: step + 1, layers });
  }

  /** Saves the last good state after the error that ends the run; a failure to save does not replace that error. */
  async #saveAfter(error: unknown): Promise<void> {
    if (!this.#isConsistent || this.#checkpoints.hasFailed) return;
    try {
      await this.#checkpoints.finish(this.#state);
    } catch (failure) {
      const message = `step ${this.#state.step} could not be saved: ${(failure as Error).message}`;
      this.#events.emit({ type: "warning", message });
      if (error instanceof Error && error.cause === undefined && Object.isExtensible(error))
        error.cause = failure;
    }
  }

  async #flushMetrics(): Promise<void> {
    await this.#events.flush();
    const { unwritten = 0 } = this.#metrics ?? {};
    if (unwritten === 0) return;
    const message = `${unwritten} lines are missing in ${this.config.metricsFile}`;
    this.#events.emit({ type: "warning", message });
  }

  #summary(reason: EndReason): TrainResult {
    const { step, samplesSeen } = this.#state;
    return {
      reason,
      step,
      samplesSeen,
      seconds: this.#seconds,
      samplesPerSecond: (samplesSeen - this.#firstSample) / Math.max(this.#seconds, 1e-9),
      dataWaitSeconds: this.#dataWaitSeconds,
      loss: this.#loss,
      checkpoint: this.#checkpoints.lastPath,
      unwrittenMetrics: this.#metrics?.unwritten ?? 0,
    };
  }
}

/** In-batch accuracies are fields of their own in the event, if the objective reports them. */
function eventMetrics({ imageAccuracy, textAccuracy, ...metrics }: Readonly<Record<string, number>>) {
  return {
    ...(imageAccuracy !== undefined && { imageAccuracy }),
    ...(textAccuracy !== undefined && { textAccuracy }),
    metrics,
  };
}

/**
 * Trains a model by `config.objective`, by default CLIP's contrastive loss. The next batch is prepared while the device
 * computes; a whole step, from the forward pass to `afterUpdate`, is one program.
 *
 * Stopping: `run.stop()` ends the run after the current step, writes a checkpoint, and `result` resolves. An aborted
 * `signal` does the same, but the run then rejects with the signal's reason.
 *
 * Errors: before any error ends the run, the state of the last good step is saved, unless its checkpoint exists. The
 * run rejects with the error that ended it; if saving failed as well, that is its `cause` and a `warning` event. A
 * checkpoint that cannot be written ends the run, and earlier ones stay complete. A metrics line that cannot be written
 * does not.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` at once for an invalid configuration; as a rejection of `result` and
 *   of the iteration: `ERR_EVACLIP_INVALID_ARGUMENT` and `ERR_EVACLIP_NO_GRADIENT` for what the objective records;
 *   `ERR_EVACLIP_RUN_EXISTS` for a new run in a folder with checkpoints or on the metrics of another run;
 *   `ERR_EVACLIP_RUN_ACTIVE` when another run uses the folder; `ERR_EVACLIP_NAN_LOSS`, after which the parameters are as
 *   before the step named; `ERR_EVACLIP_NOT_FINITE` for parameters that cannot be saved; `ERR_EVACLIP_CHECKPOINT_*`,
 *   `ERR_EVACLIP_DISK_FULL`, `ERR_EVACLIP_IO`, `ERR_EVACLIP_OUT_OF_MEMORY`, and errors of the data and the evaluation
 */
export function train(config: TrainConfig, options: TrainOptions = {}): TrainingRun {
  return new TrainingRun(config, options);
}
