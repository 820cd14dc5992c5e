import { performance } from "node:perf_hooks";
import { EvaClipError } from "../errors";
import { scheduleFactor } from "../optim/schedule";
import { BatchFeed, type FedBatch } from "./batch_feed";
import { sourceOf } from "./batch_source";
import { findCheckpoint, readCheckpoint, type TrainerState, writeCheckpoint } from "./checkpoint";
import { MetricsFile } from "./metrics_file";
import { checkConfig, patchDropoutAt, scheduleOf, type TrainConfig } from "./train_config";
import { type EndReason, EventStream, type TrainEvent } from "./train_events";
import { checkFinite, TrainingStep } from "./training_step";

export interface TrainOptions {
  /** Ends the run after the step under way: a checkpoint is written, then the run rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A checkpoint's folder, a folder of checkpoints, or `latest` for the newest of `checkpoint.directory`. */
  readonly resume?: string;
}

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
  /** The loss of the last step. */
  readonly loss: number;
  /** The last checkpoint, if there is one. */
  readonly checkpoint: string | undefined;
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
  #metrics: MetricsFile | undefined;
  #stopAsked = false;
  #ended = false;
  #state: TrainerState;
  #lastCheckpoint: { path: string; step: number } | undefined;
  #seconds = 0;
  #dataWaitSeconds = 0;
  #firstSample = 0;
  #loss = Number.NaN;

  /** Use `train()`. */
  constructor(
    private readonly config: TrainConfig,
    private readonly options: TrainOptions,
  ) {
    checkConfig(config);
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
    this.#stopAsked = true;
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
    let feed: BatchFeed | undefined;
    try {
      await this.#restore();
      feed = new BatchFeed(sourceOf(this.config.data).open(this.#state.cursor ?? undefined));
      const reason = await this.#steps(feed);
      await this.#finish();
      this.#emit({ type: "end", reason, step: this.#state.step });
      await this.#metrics?.flush();
      this.#events.end();
      return this.#summary(reason);
    } catch (error) {
      await this.#metrics?.flush().catch(() => undefined);
      this.#events.end({ error });
      throw error;
    } finally {
      this.#ended = true;
      const gone = new EvaClipError("ERR_EVACLIP_DISPOSED", "the run ended before the checkpoint");
      for (const request of this.#requests.splice(0)) request.reject(gone);
      this.#step.dispose();
      await feed?.close().catch(() => undefined);
    }
  }

  /** Makes the optimizer ready and, to resume, reads the checkpoint. */
  async #restore(): Promise<void> {
    const { device, model, optimizer, steps, seed = 0, metricsFile } = this.config;
    if (optimizer.state().some(({ allocated }) => !allocated)) await optimizer.allocate(device);
    const folder = await this.#checkpointToResume();
    if (folder !== undefined) {
      const state = await readCheckpoint(folder, { model, optimizer });
      if (state.seed !== seed) {
        const message = `${folder} belongs to a run with another seed: expected ${seed}, found ${state.seed}`;
        throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, {
          path: folder,
          seed: state.seed,
        });
      }
      this.#state = state;
      this.#lastCheckpoint = { path: folder, step: state.step };
    }
    this.#firstSample = this.#state.samplesSeen;
    if (metricsFile !== undefined) this.#metrics = await MetricsFile.open(metricsFile, this.#state.step);
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    this.#emit({ type: "start", step: this.#state.step, steps, parameters, device: device.info.name });
  }

  async #checkpointToResume(): Promise<string | undefined> {
    const { resume } = this.options;
    if (resume === undefined) return undefined;
    const directory = resume === "latest" ? this.config.checkpoint?.directory : resume;
    if (directory === undefined) {
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", "resume: latest needs a checkpoint.directory");
    }
    const found = await findCheckpoint(directory);
    if (found === undefined && resume !== "latest") {
      throw new EvaClipError("ERR_EVACLIP_IO", `there is no checkpoint in ${directory}`, { path: directory });
    }
    if (found === undefined) {
      this.#emit({ type: "warning", message: `nothing to resume in ${directory}: the run starts anew` });
    }
    return found;
  }

  async #steps(feed: BatchFeed): Promise<EndReason> {
    const { steps, evaluate } = this.config;
    const { signal } = this.options;
    while (this.#state.step < steps) {
      if (this.#stopAsked) return "stopped";
      const begin = performance.now();
      const fed = await feed.take(signal).catch((error: unknown) => this.#endBy(error));
      if (!fed) return "data_ended";
      await this.#update(fed, feed, begin);
      const { step } = this.#state;
      if (evaluate && (step % evaluate.every === 0 || step === steps)) {
        this.#emit({ type: "evaluate", step, metrics: await evaluate.run(step) });
      }
      const { every = Number.POSITIVE_INFINITY } = this.config.checkpoint ?? {};
      if (step % every === 0 || this.#requests.length > 0) await this.#save();
      await this.#metrics?.flush();
      if (signal?.aborted) await this.#endBy(signal.reason);
    }
    return "finished";
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
    checkFinite(result, step + 1);
    const end = performance.now();
    const samplesSeen = this.#state.samplesSeen + batch.size;
    this.#state = { ...this.#state, step: step + 1, samplesSeen, cursor };
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

  /** Saves what there is when the signal was aborted, and passes the error on. */
  async #endBy(error: unknown): Promise<never> {
    if (this.options.signal?.aborted) await this.#finish();
    throw error;
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
 * `signal` does the same, but the run then rejects with the signal's reason. A checkpoint that cannot be written is an
 * error of the run; the ones before it stay whole.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` at once for a configuration that cannot be; as a rejection of
 *   `result` and of the iteration: `ERR_EVACLIP_NAN_LOSS`, after which parameters are as before the step named;
 *   `ERR_EVACLIP_CHECKPOINT_*`, `ERR_EVACLIP_DISK_FULL`, `ERR_EVACLIP_IO`, `ERR_EVACLIP_OUT_OF_MEMORY`, and what the data throw
 */
export function train(config: TrainConfig, options: TrainOptions = {}): TrainingRun {
  return new TrainingRun(config, options);
}
