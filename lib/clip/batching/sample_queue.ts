import { performance } from "node:perf_hooks";
import { batchParts } from "../in_parts";
import type { Sample } from "./sample";
import type { Batch, Stock } from "./stock";

/** How samples of one kind become ready for the device. */
export interface Preparation<Input, Prepared> {
  readonly kind: "image" | "text";
  readonly stock: Stock<Prepared>;
  /** Decodes or tokenizes one sample; what it throws is the sample's own failure. */
  prepare(input: Input, signal: AbortSignal | undefined): Promise<Prepared>;
  /** Bytes that an input keeps while it waits. */
  bytesOf(input: Input): number;
}

export interface QueueSettings {
  readonly maxBatch: number;
  readonly maxDelayMs: number;
}

/**
 * The samples of one kind, from the call to the run of their batch: they wait, are prepared, and are ready in the stock. At
 * most `maxBatch` are prepared or ready, so that the next batch is complete when the device has finished the current one.
 */
export class SampleQueue<Input = unknown, Prepared = unknown> {
  readonly #waiting = new Set<Sample<Input>>();
  #preparing = 0;
  /** Samples that arrived until then need not wait for others. */
  #dueUntil = Number.NEGATIVE_INFINITY;
  /** When the stock began to fill. */
  #readySince = 0;

  /** @param onReady called when a sample was prepared, or could not be */
  constructor(
    private readonly of: Preparation<Input, Prepared>,
    private readonly settings: QueueSettings,
    private readonly onReady: () => void,
  ) {}

  get kind(): "image" | "text" {
    return this.of.kind;
  }

  /** Samples of which nothing is done yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Bytes of the samples that wait and of the memory for those that are ready. */
  get bytes(): number {
    let bytes = this.of.stock.bytes;
    for (const { input } of this.#waiting) bytes += this.of.bytesOf(input);
    return bytes;
  }

  add(sample: Sample<Input>): void {
    this.#waiting.add(sample);
  }

  /** Takes out a sample that was given up, unless it is in a batch. */
  remove(sample: Sample<Input>): void {
    if (!this.#waiting.delete(sample)) this.of.stock.remove(sample);
  }

  /** Begins to prepare samples that make a full batch, or have waited for `maxDelayMs`. */
  prepareDue(now: number): void {
    const { maxBatch, maxDelayMs } = this.settings;
    const [first] = this.#waiting;
    if (first === undefined) return;
    const isDue = this.#waiting.size >= maxBatch || first.arrived + maxDelayMs <= now;
    if (isDue) this.#dueUntil = Math.max(this.#dueUntil, now);
    for (const sample of this.#waiting) {
      if (sample.arrived > this.#dueUntil || !this.#hasRoom) return;
      this.#waiting.delete(sample);
      void this.#prepare(sample);
    }
  }

  /** Makes every sample due. */
  hurry(): void {
    this.#dueUntil = Number.POSITIVE_INFINITY;
  }

  /** The next batch for an idle device, if there is one: a full one, or what is ready and need not wait for others. */
  nextBatch(now: number): Batch | undefined {
    const { size } = this.of.stock;
    if (size === 0 || now < this.#completeAt) return undefined;
    return this.of.stock.take(batchParts(size, this.settings.maxBatch)[0]!);
  }

  /** When something may be done without any other event. */
  nextEvent(deviceIsIdle: boolean): number {
    const [first] = this.#waiting;
    const due = first && this.#hasRoom ? first.arrived + this.settings.maxDelayMs : Number.POSITIVE_INFINITY;
    const complete = deviceIsIdle && this.of.stock.size > 0 ? this.#completeAt : Number.POSITIVE_INFINITY;
    return Math.min(due, complete);
  }

  get #hasRoom(): boolean {
    return this.#preparing + this.of.stock.size < this.settings.maxBatch;
  }

  /** When what is ready no longer waits for the samples that are being prepared. */
  get #completeAt(): number {
    const isComplete = this.#preparing === 0 || this.of.stock.size >= this.settings.maxBatch;
    return isComplete ? Number.NEGATIVE_INFINITY : this.#readySince + this.settings.maxDelayMs;
  }

  async #prepare(sample: Sample<Input>): Promise<void> {
    const { stock } = this.of;
    this.#preparing++;
    try {
      const prepared = await this.of.prepare(sample.input, sample.signal);
      if (!sample.settled) {
        if (stock.size === 0) this.#readySince = performance.now();
        stock.add(sample, prepared);
      }
    } catch (error) {
      sample.reject(error);
    } finally {
      this.#preparing--;
    }
    this.onReady();
  }
}
