import { setImmediate, setTimeout } from "node:timers/promises";
import { abortable } from "../abortable";
import type { BatchAt } from "./batch_source";

const LONGEST_CLOSING_MS = 5000;

/** Reads a stream one batch ahead: while the device runs a step, the next batch is prepared. */
export class BatchFeed {
  #next: Promise<BatchAt | undefined> | undefined;

  constructor(private readonly stream: AsyncIterator<BatchAt>) {}

  /** Starts to prepare the next batch, after the step that was just enqueued has started on the device. */
  prepare(): void {
    this.#next ??= setImmediate().then(() => this.#fetch());
    // `take` awaits it; until then a rejection must not count as unhandled.
    this.#next.catch(() => undefined);
  }

  /** The next batch; undefined at the end of the data. Rejects with the signal's reason once it is aborted. */
  async take(signal?: AbortSignal): Promise<BatchAt | undefined> {
    const next = this.#next ?? this.#fetch();
    this.#next = undefined;
    return abortable(next, signal);
  }

  /** Closes the stream; waits 5 seconds at most, and ignores an error of closing. */
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

  async #fetch(): Promise<BatchAt | undefined> {
    const { value, done } = await this.stream.next();
    return done ? undefined : value;
  }
}
