import { performance } from "node:perf_hooks";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  finiteNumber,
  flag,
  instanceOf,
  options,
  ownArgument,
  positiveInteger,
  text,
} from "../arguments";
import { Calls } from "../clip/calls";
import { EvaClip } from "../clip/eva_clip";
import { EvaClipError } from "../errors";
import type { ImageInput } from "../image/image_input";

export interface BatchOptions {
  /** Maximum samples of a batch. Default 32. */
  readonly maxBatch?: number;
  /** How long a call waits for others while the device is idle, in milliseconds. Default 2. */
  readonly maxDelayMs?: number;
  /** Maximum samples that wait; further calls are rejected at once. Default 1024. */
  readonly maxQueue?: number;
}

/** A batch that was computed. */
export interface BatchReport {
  readonly kind: "image" | "text";
  readonly size: number;
  /** The longest wait of its samples, from the call to the start of the batch. */
  readonly queuedMs: number;
  readonly computeMs: number;
}

export interface BatcherOptions extends BatchOptions {
  /** Called after each batch. */
  readonly onBatch?: (batch: BatchReport) => void;
}

export interface BatchedCallOptions {
  /** Ends the call: it rejects with the signal's reason; before its batch starts, it then costs nothing. */
  readonly signal?: AbortSignal;
  /** Normalize the embedding to unit length. Default true. */
  readonly normalize?: boolean;
}

const batcherOptions = options({
  maxBatch: positiveInteger.optional(),
  maxDelayMs: finiteNumber.min(0).optional(),
  maxQueue: positiveInteger.optional(),
  onBatch: anyFunction.optional(),
});
const callOptions = options({ signal: abortSignal.optional(), normalize: flag.optional() });
const modelArgument = instanceOf(EvaClip);

/**
 * Encodes the samples of concurrent calls in common batches. It does not own the model.
 *
 * - Each call fails alone: with `ERR_EVACLIP_DATA` for an unreadable image, `ERR_EVACLIP_NOT_FINITE` for its embedding.
 * - `ERR_EVACLIP_QUEUE_FULL` when `maxQueue` samples wait, `ERR_EVACLIP_DISPOSED` after `dispose`.
 */
export class Batcher implements AsyncDisposable {
  readonly #calls = new Calls("the batcher");
  readonly #options: BatcherOptions;
  #queued = 0;
  #disposed: Promise<void> | undefined;

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
  constructor(
    readonly model: EvaClip,
    options: BatcherOptions = {},
  ) {
    checkArgument("Batcher: model", model, modelArgument);
    this.#options = ownArgument("Batcher: options", options, batcherOptions);
  }

  /** Samples that wait and are not yet in a batch. */
  get queued(): number {
    return this.#queued;
  }

  /** The embedding of an image. → [E] */
  async encodeImage(image: ImageInput, options: BatchedCallOptions = {}): Promise<Float32Array> {
    const own = ownArgument("encodeImage: options", options, callOptions);
    return this.#run("image", () => this.model.encodeImage(image, own), own.signal);
  }

  /** The embedding of a caption, which is cut to the context length. → [E] */
  async encodeText(caption: string, options: BatchedCallOptions = {}): Promise<Float32Array> {
    checkArgument("encodeText: caption", caption, text);
    const own = ownArgument("encodeText: options", options, callOptions);
    return this.#run("text", () => this.model.encodeText(caption, own), own.signal);
  }

  /** Rejects new calls and waits for pending ones. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#calls.close();
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #run(kind: BatchReport["kind"], encode: () => Promise<Float32Array>, signal?: AbortSignal) {
    const { maxQueue = 1024, onBatch } = this.#options;
    if (this.#queued >= maxQueue) {
      throw new EvaClipError("ERR_EVACLIP_QUEUE_FULL", `the queue is full: ${maxQueue} samples wait`, {
        maxQueue,
      });
    }
    return this.#calls.run(async () => {
      this.#queued++;
      const begin = performance.now();
      try {
        return await encode();
      } finally {
        this.#queued--;
        onBatch?.({ kind, size: 1, queuedMs: 0, computeMs: performance.now() - begin });
      }
    }, signal);
  }
}
