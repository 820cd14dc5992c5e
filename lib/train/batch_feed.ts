import { setImmediate, setTimeout } from "node:timers/promises";
import { abortable } from "../abortable";
import type { StagedInputs } from "../staged_inputs";
import type { BatchAt, TrainingBatch } from "./batch_source";

const LONGEST_CLOSING_MS = 5000;

/** A batch whose inputs may be staged; their promise is handled also where nothing awaits it. */
export interface FedBatch extends BatchAt {
  readonly staged: Promise<StagedInputs | undefined>;
}

type Stage = (batch: TrainingBatch) => Promise<StagedInputs | undefined>;

const notStaged: Stage = () => Promise.resolve(undefined);

/** Reads a stream one batch ahead: while the device runs a step, the next batch is prepared and staged. */
export class BatchFeed {
  #next: Promise<FedBatch | undefined> | undefined;

  constructor(private readonly stream: AsyncIterator<BatchAt>) {}

  /** Starts to prepare the next batch, after the step that was just enqueued has started on the device. */
  prepare(stage: Stage = notStaged): void {
    this.#next ??= setImmediate().then(() => this.#fetch(stage));
    // `take` awaits it; until then a rejection must not count as unhandled.
    this.#next.catch(() => undefined);
  }

  /** The next batch; undefined at the end of the data. Rejects with the signal's reason once it is aborted. */
  async take(signal?: AbortSignal): Promise<FedBatch | undefined> {
    const next = this.#next ?? this.#fetch(notStaged);
    const taken = await abortable(next, signal);
    this.#next = undefined;
    return taken;
  }

  /** Gives up what is staged and closes the stream; waits 5 seconds at most, and ignores an error of closing. */
  async close(): Promise<void> {
    this.#next
      ?.then((fed) => fed?.staged)
      .then(
        (staged) => staged?.dispose(),
        () => undefined,
      );
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

  async #fetch(stage: Stage): Promise<FedBatch | undefined> {
    const { value, done } = await this.stream.next();
    if (done) return undefined;
    const staged = stage(value.batch);
    staged.catch(() => undefined); // the step reports it
    return { ...value, staged };
  }
}
