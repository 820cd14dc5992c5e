import { performance } from "node:perf_hooks";
import { onAbort } from "../../abortable";

export interface SampleOptions {
  readonly signal?: AbortSignal;
  /** Normalize the embedding to unit length. Default true. */
  readonly normalize?: boolean;
}

/** An image or a caption of a call, which is settled once. */
export class Sample<Input> {
  readonly arrived = performance.now();
  readonly normalize: boolean;
  readonly signal: AbortSignal | undefined;
  /** Its embedding [E]. */
  readonly embedding: Promise<Float32Array>;
  #settle: { resolve(embedding: Float32Array): void; reject(reason: unknown): void } | undefined;
  readonly #stopListening: () => void;

  /** @param giveUp called when the signal is aborted first */
  constructor(
    readonly input: Input,
    { signal, normalize = true }: SampleOptions,
    giveUp: () => void,
  ) {
    this.signal = signal;
    this.normalize = normalize;
    this.embedding = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#stopListening = onAbort(signal, () => {
      this.reject(signal!.reason);
      giveUp();
    });
  }

  get settled(): boolean {
    return this.#settle === undefined;
  }

  resolve(embedding: Float32Array): void {
    this.#end()?.resolve(embedding);
  }

  reject(reason: unknown): void {
    this.#end()?.reject(reason);
  }

  #end() {
    const settle = this.#settle;
    this.#settle = undefined;
    this.#stopListening();
    return settle;
  }
}
