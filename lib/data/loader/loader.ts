import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import type { Batch } from "./batch";
import { assembleBatches, type BatchedAt } from "./batch_assembly";
import type { Dataset } from "../dataset";
import { type LoaderCursor, type SkipCounts, startCursor } from "./loader_cursor";
import { imageTransform, type LoaderOptions, ownOptions } from "./loader_options";
import { mapInOrder, runAhead } from "./pipeline";
import { prepareSample, type Step, stepsOf } from "./sample_preparation";
import { clipTokenizer } from "../../text/tokenizer";

/** Rejects when the signal is aborted; `release` takes the listener off again. */
function whenAborted(signal: AbortSignal): { aborted: Promise<never>; release: () => void } {
  let release = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    release = () => signal.removeEventListener("abort", onAbort);
  });
  aborted.catch(() => undefined);
  return { aborted, release };
}

/**
 * Batches of a data set, once through: decoded, augmented, tokenized and packed while the consumer computes. What a
 * batch holds depends on the data set, the seed and the cursor alone, never on concurrency or timing.
 */
export class Loader implements AsyncIterableIterator<Batch>, AsyncDisposable {
  /** Milliseconds that `next()` was waited for, in all: time the consumer was idle. */
  waitMs = 0;
  private cursor: LoaderCursor;
  private readonly stopping = new AbortController();
  private readonly batches: AsyncGenerator<BatchedAt, LoaderCursor | undefined>;
  private readonly signal: AbortSignal | undefined;

  constructor(dataset: Dataset, given: LoaderOptions) {
    const options = ownOptions(dataset, given);
    this.signal = options.signal;
    this.cursor = startCursor(options.cursor, options.seed ?? 0, dataset.size);
    this.batches = this.startPipeline(dataset, options);
  }

  /** Where the last batch given ended, as plain JSON: a loader with this `cursor` goes on with the batch after it. */
  state(): LoaderCursor {
    return structuredClone(this.cursor);
  }

  /** Samples left out so far, by reason: up to the last batch given, and all of them once there is no other. */
  get skips(): SkipCounts {
    return { ...this.cursor.skips };
  }

  /**
   * The next batch.
   *
   * @throws EvaClipError ERR_EVACLIP_DATA for a damaged shard, too many skips, or an epoch without one batch;
   *   ERR_EVACLIP_IO for trouble of the system such as EIO; the signal's reason once it is aborted
   */
  async next(): Promise<IteratorResult<Batch>> {
    const start = performance.now();
    const abort = this.signal === undefined ? undefined : whenAborted(this.signal);
    try {
      this.signal?.throwIfAborted();
      const pending = this.batches.next();
      const { value, done } = await (abort === undefined ? pending : Promise.race([pending, abort.aborted]));
      if (done === true) {
        // Samples may have been left out after the last batch.
        this.cursor = value ?? this.cursor;
        return { value: undefined, done: true };
      }
      this.cursor = value.cursor;
      return { value: value.batch, done: false };
    } catch (error) {
      // A loop over the batches does not close what failed; what is left of the pipeline must not outlive it.
      this.dispose().catch(() => undefined);
      throw error;
    } finally {
      abort?.release();
      this.waitMs += performance.now() - start;
    }
  }

  /** Stops reading and decoding; resolves when nothing is under way any more. */
  async dispose(): Promise<void> {
    this.stopping.abort();
    await this.batches.return(undefined);
  }

  async return(): Promise<IteratorResult<Batch>> {
    await this.dispose();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  private startPipeline(
    dataset: Dataset,
    options: LoaderOptions,
  ): AsyncGenerator<BatchedAt, LoaderCursor | undefined> {
    const { imageSize, contextLength = 77, shuffle = true, text = true, prefetch = 2 } = options;
    const tokenizer = text ? (options.tokenizer ?? clipTokenizer()) : undefined;
    const preparation = {
      imageSize,
      contextLength,
      seed: this.cursor.seed,
      chooseCaption: shuffle,
      tokenizer,
      transform: imageTransform(options),
    };
    const { signal } = this.stopping;
    const steps = stepsOf(dataset, this.cursor, shuffle, options.epochs ?? Number.POSITIVE_INFINITY, signal);
    // More than the batches being made ready would only delay the first of them.
    const usual = 2 * availableParallelism();
    const most = Math.max(usual, options.batchSize * (prefetch + 1));
    const concurrency = Math.min(options.concurrency ?? usual, most);
    const prepared = mapInOrder(steps, concurrency, (step: Step) => prepareSample(step, preparation));
    return runAhead(assembleBatches(prepared, this.cursor, options), prefetch);
  }
}

/** A loader of `dataset`. Nothing is read before the first `next()`. */
export function createLoader(dataset: Dataset, options: LoaderOptions): Loader {
  return new Loader(dataset, options);
}
