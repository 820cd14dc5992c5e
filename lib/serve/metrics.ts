import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { abortable } from "../abortable";
import type { EvaClip } from "../clip/eva_clip";
import type { BatchReport } from "./batcher";

/** A model of a handler, as far as its metrics go. */
export interface MeasuredModel {
  /** Samples that wait. */
  readonly queued: number;
  readonly model: Pick<EvaClip, "memoryInfo">;
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** A device that does not answer leaves out the memory, and nothing else. */
const MEMORY_WAIT_MS = 500;

/** Those of the process are measured once, however many handlers it has: their observers could not be taken off again. */
let ofProcess: Registry | undefined;

function processRegistry(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}

/** The metrics of one handler, in the text format of Prometheus. Times are in seconds. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #registry = new Registry();
  readonly #requestCount = this.#counter("request_count", "Requests answered.", [
    "method",
    "route",
    "status",
  ]);
  readonly #requestDuration = this.#histogram("request_duration", "Seconds until an answer.", ["route"]);
  readonly #queueDuration = this.#histogram(
    "queue_duration",
    "Seconds that the first sample of a batch has waited.",
    ["model", "kind"],
  );
  readonly #inferenceDuration = this.#histogram("inference_duration", "Seconds to compute a batch.", [
    "model",
    "kind",
  ]);
  readonly #batchSize = this.#histogram("batch_size", "Samples per batch.", ["model", "kind"], SIZES);
  readonly #samples = {
    image: this.#counter("images_total", "Images embedded.", ["model"]),
    text: this.#counter("texts_total", "Texts embedded.", ["model"]),
  };
  readonly #rejected = this.#counter("rejected_total", "Requests refused, by reason.", ["reason"]);

  /** @param models by the name that requests give */
  constructor(models: ReadonlyMap<string, MeasuredModel>) {
    processRegistry();
    const registers = [this.#registry];
    new Gauge({
      name: "eva_clip_queue_size",
      help: "Samples that wait for a batch.",
      labelNames: ["model"],
      registers,
      collect() {
        for (const [model, { queued }] of models) this.set({ model }, queued);
      },
    });
    new Gauge({
      name: "eva_clip_device_memory_bytes",
      help: "Memory on the device.",
      labelNames: ["model", "use"],
      registers,
      async collect() {
        this.reset();
        await Promise.all(
          [...models].map(async ([model, measured]) => {
            for (const [use, bytes] of await memoryOf(measured)) this.set({ model, use }, bytes);
          }),
        );
      },
    });
  }

  /** @param route the pattern of the route, so that the number of labels is bounded; not the path of the request */
  request(route: string, method: string, status: number, seconds: number): void {
    this.#requestCount.inc({ method, route, status });
    this.#requestDuration.observe({ route }, seconds);
  }

  batch(model: string, { kind, size, queuedMs, computeMs }: BatchReport): void {
    this.#queueDuration.observe({ model, kind }, queuedMs / 1e3);
    this.#inferenceDuration.observe({ model, kind }, computeMs / 1e3);
    this.#batchSize.observe({ model, kind }, size);
    this.#samples[kind].inc({ model }, size);
  }

  /** @param reason one of few, such as `queue_full` */
  rejected(reason: string): void {
    this.#rejected.inc({ reason });
  }

  /** All of them, and those of the process and its event loop. */
  async text(): Promise<string> {
    const parts = await Promise.all([this.#registry.metrics(), processRegistry().metrics()]);
    return parts.join("");
  }

  #counter<T extends string>(name: string, help: string, labelNames: T[]): Counter<T> {
    return new Counter({ name: `eva_clip_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #histogram<T extends string>(name: string, help: string, labelNames: T[], buckets = SECONDS): Histogram<T> {
    return new Histogram({
      name: `eva_clip_${name}`,
      help,
      labelNames,
      buckets,
      registers: [this.#registry],
    });
  }
}

async function memoryOf({ model }: MeasuredModel): Promise<[use: string, bytes: number][]> {
  try {
    const memory = await abortable(model.memoryInfo(), AbortSignal.timeout(MEMORY_WAIT_MS));
    return [
      ["parameters", memory.parameterBytes],
      ["arena", memory.arenaBytes],
      ["workspace", memory.workspaceBytes],
    ];
  } catch {
    return [];
  }
}
