import { performance } from "node:perf_hooks";
import { throwIfAborted } from "../../abortable";
import { EvaClipError } from "../../errors";
import type { HeldImage } from "../../image/image_input";
import type { Calls } from "../calls";
import type { Embeddings } from "../encoder_programs";
import { checkEmbedding } from "../finite";
import type { ModelEncoder } from "../model_encoder";
import { heldBytes } from "../own_inputs";
import { Sample, type SampleOptions } from "./sample";
import { SampleQueue } from "./sample_queue";
import { type Batch, CaptionStock, ImageStock } from "./stock";

/** A batch that was computed. */
export interface BatchReport {
  readonly kind: "image" | "text";
  readonly size: number;
  /** The longest time that one of its samples took from the call to the start of the batch, decoding included. */
  readonly queuedMs: number;
  readonly computeMs: number;
}

export interface BatchSettings {
  readonly maxBatch: number;
  readonly maxDelayMs: number;
  readonly maxQueue: number;
  readonly onBatch?: (batch: BatchReport) => void;
}

/** The model whose batches they are. */
export interface BatchedModel {
  readonly encoder: ModelEncoder;
  /** Each sample is a call of the model. */
  readonly calls: Calls;
  /** Takes the batches from those that the model knows. */
  readonly forget: (batches: SampleBatches) => void;
}

/** A queue, whatever its samples are. */
type Queue = Pick<SampleQueue, "kind" | "prepareDue" | "hurry" | "nextBatch" | "nextEvent">;

/**
 * Batches of samples from any number of concurrent calls. One batch is on the device at a time, while the images of the next
 * one are decoded. Batches are powers of two, so that a model has few programs; those of images and captions alternate.
 */
export class SampleBatches {
  readonly #images: SampleQueue<HeldImage, Uint8Array>;
  readonly #captions: SampleQueue<string, readonly number[]>;
  /** In the order of their next turn. */
  #queues: [Queue, Queue];
  readonly #pending = new Set<Promise<unknown>>();
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(
    private readonly of: BatchedModel,
    private readonly settings: BatchSettings,
  ) {
    const { encoder } = of;
    const advance = () => this.#advance();
    const images = {
      kind: "image",
      stock: new ImageStock(encoder, settings.maxBatch),
      prepare: (image: HeldImage, signal: AbortSignal | undefined) => encoder.prepareImage(image, signal),
      bytesOf: heldBytes,
    } as const;
    const captions = {
      kind: "text",
      stock: new CaptionStock(encoder),
      prepare: async (caption: string) => encoder.tokenIds(caption),
      bytesOf: (caption: string) => 2 * caption.length,
    } as const;
    this.#images = new SampleQueue(images, settings, advance);
    this.#captions = new SampleQueue(captions, settings, advance);
    this.#queues = [this.#images, this.#captions];
  }

  /** Samples that wait and are not yet in a batch. */
  get queued(): number {
    return this.#images.waiting + this.#captions.waiting;
  }

  /** Bytes of the samples that wait, and of the memory in which images are collected. */
  get bytes(): number {
    return this.#images.bytes + this.#captions.bytes;
  }

  /** → [E] */
  image(image: HeldImage, options: SampleOptions = {}): Promise<Float32Array> {
    return this.#add(this.#images, image, options);
  }

  /** → [E] */
  caption(caption: string, options: SampleOptions = {}): Promise<Float32Array> {
    return this.#add(this.#captions, caption, options);
  }

  /** Resolves when the samples are settled and the device has finished. No sample waits for others any more. */
  async close(): Promise<void> {
    for (const queue of this.#queues) queue.hurry();
    this.#advance();
    await Promise.allSettled(this.#pending);
    await this.#running;
    this.of.forget(this);
  }

  async #add<Input, Prepared>(
    queue: SampleQueue<Input, Prepared>,
    input: Input,
    options: SampleOptions,
  ): Promise<Float32Array> {
    const { maxQueue } = this.settings;
    throwIfAborted(options.signal);
    if (this.queued >= maxQueue) {
      const message = `the queue is full: ${maxQueue} images and captions wait for the device`;
      throw new EvaClipError("ERR_EVACLIP_QUEUE_FULL", message, { maxQueue });
    }
    return this.of.calls.run(() => {
      const sample: Sample<Input> = new Sample(input, options, () => queue.remove(sample));
      const { embedding } = sample;
      this.#pending.add(embedding);
      const forget = () => this.#pending.delete(embedding);
      embedding.then(forget, forget);
      queue.add(sample);
      this.#advance();
      return embedding;
    });
  }

  /** Does everything that can be done at the moment. */
  #advance(): void {
    const now = performance.now();
    for (const queue of this.#queues) queue.prepareDue(now);
    this.#startNext(now);
    const next = Math.min(...this.#queues.map((queue) => queue.nextEvent(this.#running === undefined)));
    this.#wakeAt(next, now);
  }

  /** Calls `#advance` at a time of `performance.now()`. */
  #wakeAt(time: number, now: number): void {
    if (time === this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = time;
    if (time === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.#advance();
      },
      Math.ceil(time - now),
    );
  }

  #startNext(now: number): void {
    if (this.#running) return;
    for (const queue of this.#queues) {
      const batch = queue.nextBatch(now);
      if (batch === undefined) continue;
      this.#queues = this.#queues[0] === queue ? [this.#queues[1], queue] : this.#queues;
      this.#running = this.#run(queue.kind, batch, now);
      queue.prepareDue(now);
      return;
    }
  }

  async #run(kind: BatchReport["kind"], batch: Batch, begin: number): Promise<void> {
    let result: { embeddings: Embeddings } | { error: unknown };
    try {
      result = { embeddings: await batch.run() };
    } catch (error) {
      result = { error };
    }
    this.#running = undefined;
    const computeMs = performance.now() - begin;
    // The device goes on before the calls, whose callers may take long.
    this.#advance();
    if ("error" in result) for (const sample of batch.samples) sample.reject(result.error);
    else {
      this.#answer(kind, batch, result.embeddings);
      this.#report(kind, batch, begin, computeMs);
    }
  }

  #report(kind: BatchReport["kind"], { samples }: Batch, begin: number, computeMs: number): void {
    const { onBatch } = this.settings;
    if (onBatch === undefined) return;
    const queuedMs = begin - Math.min(...samples.map(({ arrived }) => arrived));
    try {
      onBatch({ kind, size: samples.length, queuedMs, computeMs });
    } catch (error) {
      // As of an event listener: it is no failure of the samples, which may be other callers'.
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #answer(kind: BatchReport["kind"], { samples }: Batch, { features, unit }: Embeddings): void {
    const { embedDim } = this.of.encoder;
    samples.forEach((sample, i) => {
      const row = (of: Float32Array) => of.subarray(i * embedDim, (i + 1) * embedDim);
      const chosen = row(sample.normalize ? unit : features);
      try {
        checkEmbedding(row(features), sample.normalize ? chosen : undefined, 0, () =>
          kind === "image" ? "the image" : "the caption",
        );
        sample.resolve(chosen.slice());
      } catch (error) {
        sample.reject(error);
      }
    });
  }
}
