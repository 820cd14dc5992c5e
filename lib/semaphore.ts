import { onAbort, throwIfAborted } from "./abortable";

/** Runs at most `limit` pieces of work at a time, in the order in which they were given. */
export class Semaphore {
  #free: number;
  /** Starts the work that waits, first come first served. */
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#free = limit;
  }

  /**
   * Runs `work`, synchronously if it need not wait.
   * @throws the signal's reason when it is aborted before its turn: `work` is then not called
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      throwIfAborted(signal);
      return await work();
    } finally {
      this.#leave();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        remove();
        resolve();
      };
      const remove = onAbort(signal, () => {
        this.#waiting.delete(start);
        reject(signal!.reason);
      });
      this.#waiting.add(start);
    });
  }

  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
