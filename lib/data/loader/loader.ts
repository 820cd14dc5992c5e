import { performance } from "node:perf_hooks";
import type { Batch } from "./batch";
import { assembleBatches, type BatchedAt } from "./batch_assembly";
import type { Dataset } from "../dataset";
import { type LoaderCursor, type SkipCounts, startCursor } from "./loader_cursor";
import { imageTransform, type LoaderOptions, ownOptions } from "./loader_options";
import { mapInOrder, runAhead } from "./pipeline";
import { prepareSample, type Step, stepsOf } from "./sample_preparation";
import { availableProcessors } from "../../container_limits";
import { clipTokenizer } from "../../text/tokenizer";

/** Rejects when the signal is aborted; `release` removes the listener. */
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
 * A single pass over the batches of a data set, which are decoded, augmented, tokenized and packed while the consumer
 * computes. A batch depends only on the data set, the options and the cursor, never on concurrency or timing.
 */
export class Loader implements AsyncIterableIterator<Batch>, AsyncDisposable {
  /** Total milliseconds that `next()` took: the idle time of the consumer. */
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

  /** The position after the last batch, as plain JSON: a loader with this `cursor` continues with the next batch. */
  state(): LoaderCursor {
    return structuredClone(this.cursor);
  }

  /** Skipped samples by reason: those before the last batch, and after the end of the data all of them. */
  get skips(): SkipCounts {
    return { ...this.cursor.skips };
  }

  /**
   * The next batch.
   *
   * @throws EvaClipError `ERR_EVACLIP_DATA` for a damaged shard, too many skips, or an epoch without a full batch;
   *   `ERR_EVACLIP_IO` for system errors such as EIO; the signal's reason after an abort
   */
  async next(): Promise<IteratorResult<Batch>> {
    const start = performance.now();
    const abort = this.signal === undefined ? undefined : whenAborted(this.signal);
    try {
      this.signal?.throwIfAborted();
      const pending = this.batches.next();
      const { value, done } = await (abort === undefined ? pending : Promise.race([pending, abort.aborted]));
      if (done === true) {
        // Samples may have been skipped after the last batch.
        this.cursor = value ?? this.cursor;
        return { value: undefined, done: true };
      }
      this.cursor = value.cursor;
      return { value: value.batch, done: false };
    } catch (error) {
      // `for await` does not call return() after an error, so the rest of the pipeline is stopped here.
      this.dispose().catch(() => undefined);
      throw error;
    } finally {
      abort?.release();
      this.waitMs += performance.now() - start;
    }
  }

  /** Stops reading and decoding; resolves when all pending work has finished. */
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
    // More images than the prefetched batches hold would only delay the first batch.
    const usual = 2 * availableProcessors();
    const most = Math.max(usual, options.batchSize * (prefetch + 1));
    const concurrency = Math.min(options.concurrency ?? usual, most);
    const prepared = mapInOrder(steps, concurrency, (step: Step) => prepareSample(step, preparation));
    return runAhead(assembleBatches(prepared, this.cursor, options), prefetch);
  }
}

/** Creates a loader of `dataset`. Nothing is read before the first `next()`. */
export function createLoader(dataset: Dataset, options: LoaderOptions): Loader {
  return new Loader(dataset, options);
}
