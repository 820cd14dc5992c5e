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
import type { BatchReport, SampleBatches } from "../clip/batching/sample_batches";
import { Calls } from "../clip/calls";
import { EvaClip } from "../clip/eva_clip";
import { LARGEST_BATCH } from "../clip/in_parts";
import { heldBytesOf, holdImage, type ImageInput } from "../image/image_input";

export type { BatchReport } from "../clip/batching/sample_batches";

export interface BatchOptions {
  /** Maximum samples of a batch. Default 32. */
  readonly maxBatch?: number;
  /** How long a call waits for others while the device is idle, in milliseconds. Default 2. */
  readonly maxDelayMs?: number;
  /** Maximum samples that wait; further calls are rejected at once. Default 1024. */
  readonly maxQueue?: number;
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
  maxDelayMs: finiteNumber.min(0).max(60_000).optional(),
  maxQueue: positiveInteger.optional(),
  onBatch: anyFunction.optional(),
});
const callOptions = options({ signal: abortSignal.optional(), normalize: flag.optional() });
const modelArgument = instanceOf(EvaClip);

/**
 * Encodes the images and captions of concurrent calls in common batches: one on the device, while the images of the next one
 * are decoded. It does not own the model.
 *
 * - Each call fails alone: with `ERR_EVACLIP_DATA` for an unreadable image, `ERR_EVACLIP_NOT_FINITE` for its embedding.
 * - `ERR_EVACLIP_QUEUE_FULL` when `maxQueue` samples wait, `ERR_EVACLIP_DISPOSED` after `dispose`, also the model's.
 * - Arguments are copied when a method is called.
 */
export class Batcher implements AsyncDisposable {
  readonly #calls = new Calls("the batcher");
  readonly #batches: SampleBatches;
  #disposed: Promise<void> | undefined;

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
  constructor(
    readonly model: EvaClip,
    options: BatcherOptions = {},
  ) {
    checkArgument("Batcher: model", model, modelArgument);
    const given = ownArgument("Batcher: options", options, batcherOptions);
    const { maxBatch = LARGEST_BATCH, maxDelayMs = 2, maxQueue = 1024, onBatch } = given;
    this.#batches = model.openBatches({ maxBatch, maxDelayMs, maxQueue, ...(onBatch && { onBatch }) });
  }

  /** Samples that wait and are not yet in a batch. */
  get queued(): number {
    return this.#batches.queued;
  }

  /** The embedding of an image. → [E] */
  async encodeImage(image: ImageInput, options: BatchedCallOptions = {}): Promise<Float32Array> {
    const own = ownArgument("encodeImage: options", options, callOptions);
    const held = holdImage("encodeImage: image", image);
    return this.#calls.run(() => this.#batches.image(held, own));
  }

  /**
   * `encodeImage` for the bytes of an image file that the service itself has read: copying them would hold the event loop.
   * @internal
   */
  async encodeOwnBytes(bytes: Uint8Array, options: BatchedCallOptions): Promise<Float32Array> {
    return this.#calls.run(() => this.#batches.image(heldBytesOf(bytes), options));
  }

  /** The embedding of a caption, which is cut to the context length. → [E] */
  async encodeText(caption: string, options: BatchedCallOptions = {}): Promise<Float32Array> {
    checkArgument("encodeText: caption", caption, text);
    const own = ownArgument("encodeText: options", options, callOptions);
    return this.#calls.run(() => this.#batches.caption(caption, own));
  }

  /** Rejects new calls, and waits until those pending are settled; the queue is computed. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= Promise.all([this.#calls.close(), this.#batches.close()]).then(() => undefined);
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
