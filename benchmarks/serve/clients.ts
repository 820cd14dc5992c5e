import { performance } from "node:perf_hooks";
import { connections, send } from "./http_client";
import { embeddingsOf, encodeRequest } from "./requests";
import { difference, type Form, type Workload } from "./workload";

/** What clients have seen. */
export interface Seen {
  requests: number;
  seconds: number;
  /** Milliseconds per request, by form. */
  latencies: Partial<Record<Form, number[]>>;
  /** Of all answers to the golden embeddings. */
  worstDifference: number;
  errors: number;
  firstErrors: string[];
}

const MOST_ERRORS = 10;

/** Clients that each send the next request of the workload as soon as they have an answer, and check it. */
export class Clients {
  readonly #sent;
  readonly #agent;
  readonly #running: Promise<void>[];
  #next = 0;
  #isStopped = false;
  #seen: Seen = nothing();
  #since = performance.now();

  constructor(
    private readonly url: string,
    private readonly workload: Workload,
    count: number,
  ) {
    this.#sent = workload.requests.map((request) => encodeRequest(request, workload));
    this.#agent = connections(count);
    this.#running = Array.from({ length: count }, () => this.#run());
  }

  /** Forgets what was seen so far: the warm-up. */
  restart(): void {
    this.#seen = nothing();
    this.#since = performance.now();
  }

  get seen(): Seen {
    return { ...this.#seen, seconds: (performance.now() - this.#since) / 1e3 };
  }

  /** Waits for the requests under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const place = this.#next++ % this.#sent.length;
      const begin = performance.now();
      try {
        const { status, body } = await send(this.url, this.#agent, this.#sent[place]!);
        if (status !== 200) throw new Error(`status ${status}: ${body.toString().slice(0, 300)}`);
        const ms = performance.now() - begin;
        this.#check(place, embeddingsOf(body), ms);
      } catch (error) {
        this.#fail(`${this.workload.requests[place]!.form}: ${(error as Error).message}`);
        // A service that refuses would otherwise be asked as fast as possible.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  #check(place: number, found: Float32Array[], ms: number): void {
    const { form, samples } = this.workload.requests[place]!;
    const { golden } = this.workload;
    if (found.length !== samples.length)
      throw new Error(`${found.length} embeddings of ${samples.length} samples`);
    samples.forEach(({ kind, index }, i) => {
      const expected = (kind === "image" ? golden.images : golden.texts)[index]!;
      this.#seen.worstDifference = Math.max(this.#seen.worstDifference, difference(found[i]!, expected));
    });
    this.#seen.requests++;
    this.#seen.latencies[form] ??= [];
    this.#seen.latencies[form].push(ms);
  }

  #fail(message: string): void {
    this.#seen.errors++;
    if (this.#seen.firstErrors.length < MOST_ERRORS) this.#seen.firstErrors.push(message);
  }
}

const nothing = (): Seen => ({
  requests: 0,
  seconds: 0,
  latencies: {},
  worstDifference: 0,
  errors: 0,
  firstErrors: [],
});
