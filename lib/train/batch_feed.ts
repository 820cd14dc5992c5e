import { setImmediate, setTimeout } from "node:timers/promises";
import type { Json } from "../data/dataset";
import { abortable } from "../abortable";
import type { BatchStream, TrainingBatch } from "./batch_source";

/** A batch, and the cursor just after it. */
export interface FedBatch {
  readonly batch: TrainingBatch;
  readonly cursor: Json;
}

const LONGEST_CLOSING_MS = 5000;

/** Takes batches from a stream one ahead: while the device runs a step, the next batch is made. */
export class BatchFeed {
  #next: Promise<FedBatch | undefined> | undefined;

  constructor(private readonly stream: BatchStream) {}

  /** Starts making a batch, once what was just given to the device is under way there. */
  prepare(): void {
    this.#next ??= setImmediate().then(() => this.#fetch());
    // It is awaited when its turn comes; until then a failure must not count as unhandled.
    this.#next.catch(() => undefined);
  }

  /** The next batch; undefined at the end of the data. Rejects with the signal's reason once it is aborted. */
  async take(signal?: AbortSignal): Promise<FedBatch | undefined> {
    const next = this.#next ?? this.#fetch();
    this.#next = undefined;
    return abortable(next, signal);
  }

  /** Closes the stream. A stream that is stuck, or fails in closing, keeps nobody. */
  async close(): Promise<void> {
    const closing = Promise.resolve(this.stream.return?.()).catch(() => undefined);
    const waiting = new AbortController();
    await Promise.race([
      closing,
      setTimeout(LONGEST_CLOSING_MS, undefined, { ref: false, signal: waiting.signal }).catch(
        () => undefined,
      ),
    ]);
    waiting.abort();
  }

  async #fetch(): Promise<FedBatch | undefined> {
    const { value, done } = await this.stream.next();
    return done ? undefined : { batch: value, cursor: this.stream.state() };
  }
}
