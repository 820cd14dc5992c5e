// A model in a worker thread. The model computes on a native thread wherever it is opened; a worker also takes the
// JavaScript part, such as preparing requests, off the main thread. With a model's path, or a random model without one:
//   node -C eva-clip-source -r ts-node/register/transpile-only examples/service/worker_thread.ts [MODEL]
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { EvaClip, isEvaClipError } from "eva-clip";

type Request = { readonly id: number; readonly caption: string };
type Answer = { readonly id: number } & ({ readonly embedding: Float32Array } | { readonly error: string });

/** Small enough to be created at once; its weights are random. */
const SMALL_MODEL = {
  embed_dim: 32,
  vision_cfg: { image_size: 32, width: 64, head_width: 32, patch_size: 8, layers: 2 },
  text_cfg: { width: 64, heads: 2, layers: 2 },
};

/** In the worker: answers each caption with its embedding, transferred without a copy. */
async function work(path: string | undefined): Promise<void> {
  const model = await (path === undefined ? EvaClip.create(SMALL_MODEL) : EvaClip.load(path));
  const port = parentPort!;
  port.on("message", async (request: Request | "close") => {
    if (request === "close") {
      await model.dispose();
      port.close();
      return;
    }
    const { id, caption } = request;
    try {
      const embedding = await model.encodeText(caption);
      port.postMessage({ id, embedding } satisfies Answer, [embedding.buffer as ArrayBuffer]);
    } catch (error) {
      // Errors lose their class on the way between threads: send what the other side needs.
      const code = isEvaClipError(error) ? ` (${error.code})` : "";
      port.postMessage({ id, error: `${(error as Error).message}${code}` } satisfies Answer);
    }
  });
  port.postMessage("ready");
}

/** In the main thread: an embedder whose calls may overlap. */
export class WorkerEmbedder {
  readonly #pending = new Map<
    number,
    { resolve(embedding: Float32Array): void; reject(error: Error): void }
  >();
  #last = 0;

  private constructor(private readonly worker: Worker) {
    worker.on("message", (answer: Answer) => {
      const { resolve, reject } = this.#pending.get(answer.id)!;
      this.#pending.delete(answer.id);
      if ("embedding" in answer) resolve(answer.embedding);
      else reject(new Error(answer.error));
    });
    worker.on("exit", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("the worker has ended"));
    });
  }

  static async start(model?: string): Promise<WorkerEmbedder> {
    const worker = new Worker(__filename, { workerData: { model }, execArgv: process.execArgv });
    await once(worker, "message"); // ready; rejects with the error of a worker that fails to load the model
    return new WorkerEmbedder(worker);
  }

  encodeText(caption: string): Promise<Float32Array> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.worker.postMessage({ id, caption } satisfies Request);
    });
  }

  async close(): Promise<void> {
    const ended = once(this.worker, "exit");
    this.worker.postMessage("close");
    await ended;
  }
}

async function main(): Promise<void> {
  const embedder = await WorkerEmbedder.start(process.argv[2]);
  const captions = ["a dog", "a bicycle", "a red house"];
  const embeddings = await Promise.all(captions.map((caption) => embedder.encodeText(caption)));
  for (const [i, embedding] of embeddings.entries()) console.log(captions[i], embedding.length);
  await embedder.close();
}

if (!isMainThread) void work((workerData as { model?: string }).model);
else if (require.main === module) void main();
