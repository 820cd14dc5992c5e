import { performance } from "node:perf_hooks";
import { abortable } from "../abortable";
import type { EvaClip } from "../clip/eva_clip";

/** A model of a handler, as far as its readiness goes. */
export interface CheckedModel {
  readonly model: Pick<EvaClip, "encodePixels" | "encodeText" | "imageSize">;
}

export interface ReadinessOptions {
  /** How long a device may take for a batch of one, in milliseconds, the batch before it included. Default 10,000. */
  readonly timeoutMs?: number;
  /** How long a result is reused, in milliseconds. Default 1,000. */
  readonly cacheMs?: number;
}

/** `ok`, or why requests should go elsewhere. */
export type ReadinessState = { readonly ready: true } | { readonly ready: false; readonly reason: string };

/** A tiny batch on its way through the devices. */
interface Run {
  readonly begin: number;
  readonly result: Promise<ReadinessState>;
}

const READY: ReadinessState = { ready: true };

/** Whether requests can be answered: runs one image and one caption through each model's device. */
export class Readiness {
  readonly #models: ReadonlyMap<string, CheckedModel>;
  readonly #timeoutMs: number;
  readonly #cacheMs: number;
  #draining = false;
  #run: Run | undefined;
  #known: { readonly state: ReadinessState; readonly at: number } | undefined;

  constructor(
    models: ReadonlyMap<string, CheckedModel>,
    { timeoutMs = 10_000, cacheMs = 1000 }: ReadinessOptions = {},
  ) {
    this.#models = models;
    this.#timeoutMs = timeoutMs;
    this.#cacheMs = cacheMs;
  }

  /** Not ready from here on, so that no further requests are sent here. */
  drain(): void {
    this.#draining = true;
  }

  /** @param signal ends the wait for the answer, but not the batch, which the next check waits for as well */
  async check(signal?: AbortSignal): Promise<ReadinessState> {
    if (this.#draining) return { ready: false, reason: "the server is shutting down" };
    const known = this.#known;
    if (known && performance.now() - known.at < this.#cacheMs) return known.state;
    // A device that hangs gets no second batch, and a probe that finds it overdue is answered at once.
    this.#run ??= this.#start();
    return abortable(this.#inTime(this.#run), signal);
  }

  #start(): Run {
    const run: Run = { begin: performance.now(), result: this.#compute() };
    void run.result.then((state) => {
      this.#known = { state, at: performance.now() };
      this.#run = undefined;
    });
    return run;
  }

  /** One model after the other, so that the one at fault can be named. */
  async #compute(): Promise<ReadinessState> {
    for (const [name, { model }] of this.#models) {
      try {
        await model.encodePixels(new Uint8Array(3 * model.imageSize ** 2), 1);
        await model.encodeText("ready");
      } catch (error) {
        return { ready: false, reason: `the model ${name} failed: ${(error as Error).message}` };
      }
    }
    return READY;
  }

  async #inTime({ begin, result }: Run): Promise<ReadinessState> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<ReadinessState>((resolve) => {
      const reason = `the device has not finished a batch within ${this.#timeoutMs} ms`;
      timer = setTimeout(resolve, begin + this.#timeoutMs - performance.now(), { ready: false, reason });
    });
    try {
      return await Promise.race([result, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
