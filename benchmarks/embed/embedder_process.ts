// A process of benchmarks/embed.ts with one library: answers each request with the times of its calls.
import { type Embedder, type EmbedderOptions, evaClip, onnxRuntime } from "./embedder";
import { captions, pixels, type Tower } from "./inputs";

export interface Request {
  readonly tower: Tower;
  readonly batch: number;
  readonly calls: number;
}

export interface Answer {
  /** Of each call. */
  readonly milliseconds: readonly number[];
  /** [batch, E] */
  readonly embeddings: readonly number[];
}

/** One call that is not measured, in which the processor leaves the other process, then the measured ones. */
async function answer(embedder: Embedder, { tower, batch, calls }: Request): Promise<Answer> {
  const call = tower === "image" ? embedder.image(pixels(batch), batch) : embedder.text(captions(batch));
  const embeddings = Array.from(await call());
  const milliseconds: number[] = [];
  for (let i = 0; i < calls; i++) {
    const start = performance.now();
    await call();
    milliseconds.push(performance.now() - start);
  }
  return { milliseconds, embeddings };
}

async function main(): Promise<void> {
  const [form, ...rest] = process.argv.slice(2);
  const options = JSON.parse(rest[0]!) as EmbedderOptions;
  const embedder = await (form === "onnxruntime"
    ? onnxRuntime(options)
    : evaClip(form as "f32" | "bf16", options));
  process.on("message", (request: Request) => {
    answer(embedder, request).then(
      (answered) => process.send!(answered),
      (error: unknown) => {
        throw error;
      },
    );
  });
  process.on("disconnect", () => process.exit());
  process.send!("ready");
}

void main();
