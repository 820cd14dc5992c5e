import { performance } from "node:perf_hooks";
import { EvaClipError } from "../errors";
import { scheduleFactor } from "../optim/schedule";
import { BatchFeed, type FedBatch } from "./batch_feed";
import { sourceOf } from "./batch_source";
import { writeCheckpoint } from "./checkpoint";
import { recoverFolder } from "../weights/checkpoint/checkpoint_folder";
import { MetricsFile } from "./metrics_file";
import { RunLock } from "./run/run_lock";
import { recordStart } from "./run/run_record";
import { openStart } from "./run/run_start";
import {
  checkTraining,
  patchDropoutAt,
  scheduleOf,
  type TrainConfig,
  type TrainOptions,
} from "./train_config";
import { type EndReason, EventStream, type TrainEvent } from "./train_events";
import type { TrainerState } from "../weights/checkpoint/trainer_state";
import { checkFinite, TrainingStep } from "./training_step";

export type { TrainOptions };

export interface TrainResult {
  readonly reason: EndReason;
  /** Updates done. */
  readonly step: number;
  readonly samplesSeen: number;
  /** Of this process, from the first step to the end of the last. */
  readonly seconds: number;
  readonly samplesPerSecond: number;
  /** Time that the device waited for batches. */
  readonly dataWaitSeconds: number;
  /** The loss of the last step; undefined when this process did none. */
  readonly loss: number | undefined;
  /** The last checkpoint, if there is one. */
  readonly checkpoint: string | undefined;
  /** Lines that are missing in the metrics file, because they could not be written. */
  readonly unwrittenMetrics: number;
}

interface CheckpointRequest {
  resolve(path: string): void;
  reject(reason: unknown): void;
}

/**
 * A training run: iterate it for events, await `result`. It goes on whether or not anybody iterates; whoever begins
 * right after `train()` sees every event.
 */
export class TrainingRun implements AsyncIterable<TrainEvent> {
  /** Settles when the run has ended; rejects with what ended it: an error, or the reason of an aborted signal. */
  readonly result: Promise<TrainResult>;
  readonly #events = new EventStream();
  readonly #step: TrainingStep;
  readonly #requests: CheckpointRequest[] = [];
  /** Aborted by `stop()` and by the signal that the run was given. */
  readonly #stopping = new AbortController();
  #metrics: MetricsFile | undefined;
  #ended = false;
  #state: TrainerState;
  /** Whether the parameters are those of `#state`. */
  #isConsistent = true;
  #saveFailed = false;
  #lastCheckpoint: { path: string; step: number } | undefined;
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
    const { device, model, optimizer, seed = 0, images } = config;
    this.#step = new TrainingStep(device, model, optimizer, images);
    this.#state = { version: 1, step: 0, samplesSeen: 0, seed, cursor: null };
    this.result = new Promise<void>((begin) => setImmediate(begin)).then(() => this.#run());
  }

  [Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void> {
    this.result.catch(() => undefined); // the iteration throws it
    return this.#events.listen();
  }

  /** Ends the run after the step under way, with a checkpoint; `result` says `stopped`. */
  stop(): void {
    this.#stopping.abort(new EvaClipError("ERR_EVACLIP_ABORTED", "the run was stopped"));
  }

  /** Writes a checkpoint after the step under way. @returns Its path. @throws EvaClipError when it cannot be written. */
  checkpoint(): Promise<string> {
    if (this.#ended || !this.config.checkpoint) {
      const why = this.#ended ? "the run has ended" : "train() was given no checkpoint.directory";
      return Promise.reject(new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `no checkpoint: ${why}`));
    }
    return new Promise((resolve, reject) => this.#requests.push({ resolve, reject }));
  }

  async #run(): Promise<TrainResult> {
    try {
      const reason = await this.#runAlone();
      this.#emit({ type: "end", reason, step: this.#state.step });
      this.#events.end();
      return this.#summary(reason);
    } catch (error) {
      this.#events.end({ error });
      throw error;
    }
  }

  /** The run, as the only one in its folder of checkpoints. */
  async #runAlone(): Promise<EndReason> {
    const { checkpoint } = this.config;
    const release = this.#listenToSignal();
    let lock: RunLock | undefined;
    let feed: BatchFeed | undefined;
    try {
      if (checkpoint) lock = await RunLock.take(checkpoint.directory);
      if (checkpoint) await recoverFolder(checkpoint.directory);
      feed = await this.#start();
      const reason = await this.#steps(feed);
      await this.#finish();
      return reason;
    } catch (error) {
      await this.#saveAfter(error);
      throw error;
    } finally {
      this.#ended = true;
      await this.#flushMetrics();
      release();
      const gone = new EvaClipError("ERR_EVACLIP_DISPOSED", "the run ended before the checkpoint");
      for (const request of this.#requests.splice(0)) request.reject(gone);
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

  /** Makes the optimizer ready and, to resume, reads the checkpoint; files change only once everything is checked. */
  async #start(): Promise<BatchFeed> {
    const { device, model, optimizer, steps, metricsFile, checkpoint, data } = this.config;
    if (optimizer.state().some(({ allocated }) => !allocated)) await optimizer.allocate(device);
    const { state, stream, folder, run, warnings } = await openStart(
      this.config,
      this.options,
      sourceOf(data),
    );
    const warn = (message: string) => this.#emit({ type: "warning", message });
    if (metricsFile !== undefined) this.#metrics = await MetricsFile.open(metricsFile, state.step, warn);
    if (checkpoint && run) await recordStart(checkpoint.directory, run);
    this.#state = state;
    if (folder !== undefined) this.#lastCheckpoint = { path: folder, step: state.step };
    this.#firstSample = state.samplesSeen;
    for (const message of warnings) warn(message);
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    this.#emit({ type: "start", step: state.step, steps, parameters, device: device.info.name });
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
      const { every = Number.POSITIVE_INFINITY } = this.config.checkpoint ?? {};
      if (this.#state.step % every === 0 || this.#requests.length > 0) await this.#save();
      if (!signal.aborted) await this.#evaluate(signal);
      await this.#metrics?.flush();
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
      // Nothing, too, from JavaScript.
      if (Object.keys(metrics ?? {}).length > 0) this.#emit({ type: "evaluate", step, metrics });
    } catch (error) {
      // An evaluation that was told to stop has no result, and no failure either.
      if (!signal.aborted) throw error;
    }
  }

  /** One step: the device computes it while the next batch is made. */
  async #update({ batch, cursor }: FedBatch, feed: BatchFeed, begin: number): Promise<void> {
    const { step, seed } = this.#state;
    const started = performance.now();
    const schedule = scheduleFactor(step, scheduleOf(this.config));
    const running = this.#step.run(batch, {
      step,
      schedule,
      seed,
      patchDropout: patchDropoutAt(step, this.config),
    });
    if (step + 1 < this.config.steps) feed.prepare();
    const result = await running;
    this.#isConsistent = !Number.isFinite(result.gradientNorm); // the update has changed the parameters
    checkFinite(result, step + 1);
    const end = performance.now();
    const samplesSeen = this.#state.samplesSeen + batch.size;
    this.#state = { ...this.#state, step: step + 1, samplesSeen, cursor };
    this.#isConsistent = true;
    this.#loss = result.loss;
    this.#seconds += (end - begin) / 1000;
    this.#dataWaitSeconds += (started - begin) / 1000;
    this.#emit({
      type: "step",
      step: step + 1,
      ...result,
      learningRate: schedule * this.config.optimizer.learningRate,
      samplesSeen,
      samplesPerSecond: (1000 * batch.size) / (end - begin),
      dataWaitMs: started - begin,
      stepMs: end - started,
    });
  }

  /** Saves the last good state when an error ends the run, which stays the error whatever comes of that. */
  async #saveAfter(error: unknown): Promise<void> {
    if (!this.#isConsistent || this.#saveFailed) return;
    try {
      await this.#finish();
    } catch (failure) {
      const message = `step ${this.#state.step} could not be saved: ${(failure as Error).message}`;
      this.#emit({ type: "warning", message });
      if (error instanceof Error && error.cause === undefined && Object.isExtensible(error))
        error.cause = failure;
    }
  }

  async #flushMetrics(): Promise<void> {
    await this.#metrics?.flush();
    const { unwritten = 0 } = this.#metrics ?? {};
    if (unwritten === 0) return;
    this.#emit({ type: "warning", message: `${unwritten} lines are missing in ${this.config.metricsFile}` });
  }

  /** The last checkpoint, unless it is there already. */
  async #finish(): Promise<void> {
    const isNew = this.#state.step > (this.#lastCheckpoint?.step ?? 0);
    if (this.config.checkpoint && isNew) await this.#save();
  }

  async #save(): Promise<void> {
    const { checkpoint, model, optimizer } = this.config;
    const { directory, keepLast } = checkpoint!;
    const { step } = this.#state;
    const requests = this.#requests.splice(0);
    try {
      const content = { model, optimizer, state: this.#state };
      const path = await writeCheckpoint(directory, content, keepLast === undefined ? {} : { keepLast });
      this.#lastCheckpoint = { path, step };
      for (const request of requests) request.resolve(path);
      this.#emit({ type: "checkpoint", step, path });
    } catch (error) {
      this.#saveFailed = true;
      for (const request of requests) request.reject(error);
      throw error;
    }
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
      checkpoint: this.#lastCheckpoint?.path,
      unwrittenMetrics: this.#metrics?.unwritten ?? 0,
    };
  }

  #emit(event: TrainEvent): void {
    this.#metrics?.add(event);
    this.#events.emit(event);
  }
}

/**
 * Trains a model by the symmetric contrastive loss. The next batch is prepared while the device computes; everything a
 * step does, forward to update, is one program.
 *
 * Stopping: `run.stop()` ends the run after the step under way, writes a checkpoint, and `result` resolves. An aborted
 * `signal` does the same, but the run then rejects with the signal's reason.
 *
 * Errors: whatever ends the run, the state of the last good step is saved first, unless it is there already; the run
 * rejects with the error that ended it, and when saving failed as well, that is its `cause` and a `warning` event. A
 * checkpoint that cannot be written is an error of the run; the ones before it stay whole. A metrics line that cannot be
 * written is none.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` at once for a configuration that cannot be; as a rejection of
 *   `result` and of the iteration: `ERR_EVACLIP_RUN_EXISTS` for a new run in a folder with checkpoints or on another's
 *   metrics; `ERR_EVACLIP_RUN_ACTIVE` when another run has the folder; `ERR_EVACLIP_NAN_LOSS`, after which parameters are
 *   as before the step named; `ERR_EVACLIP_NOT_FINITE` for parameters that cannot be saved; `ERR_EVACLIP_CHECKPOINT_*`,
 *   `ERR_EVACLIP_DISK_FULL`, `ERR_EVACLIP_IO`, `ERR_EVACLIP_OUT_OF_MEMORY`, and what the data and the evaluation throw
 */
export function train(config: TrainConfig, options: TrainOptions = {}): TrainingRun {
  return new TrainingRun(config, options);
}
