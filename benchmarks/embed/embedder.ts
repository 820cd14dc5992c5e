// The two libraries behind one interface; each runs in a process of its own (embedder_process.ts).
import { createRequire } from "node:module";
import { join } from "node:path";
import { EvaClip } from "eva-clip";
import { clipTokenizer } from "../../lib/text/tokenizer";
import { CONTEXT_LENGTH, IMAGE_SIZE, normalized } from "./inputs";

/** What is measured, from inputs in memory to unit-length embeddings [batch, E] in memory. */
export interface Embedder {
  /** What an input of this batch takes: computed before the clock starts. */
  image(images: Uint8Array, batch: number): () => Promise<Float32Array>;
  text(captions: readonly string[]): () => Promise<Float32Array>;
}

export interface EmbedderOptions {
  /** Weights, image.onnx and text.onnx. */
  readonly models: string;
  /** Of onnxruntime-node. */
  readonly packages: string;
  readonly threads: number;
}

/** Takes pixels as bytes and captions as text: normalization and tokenization are measured. */
export async function evaClip(
  precision: "f32" | "bf16",
  { models, threads }: EmbedderOptions,
): Promise<Embedder> {
  const clip = await EvaClip.load(models, { device: "cpu", precision, threads });
  return {
    image: (images, batch) => () => clip.encodePixels(images, batch),
    text: (captions) => async () => {
      const rows = await clip.encodeText(captions);
      const all = new Float32Array(rows.length * clip.embedDim);
      rows.forEach((row, i) => all.set(row, i * clip.embedDim));
      return all;
    },
  };
}

/** The parts of onnxruntime-node that are used. */
interface OnnxRuntime {
  InferenceSession: {
    create(
      path: string,
      options: object,
    ): Promise<{ run(inputs: object): Promise<{ embedding: OnnxTensor }> }>;
  };
  Tensor: new (type: string, data: Float32Array | BigInt64Array, shape: readonly number[]) => OnnxTensor;
}
interface OnnxTensor {
  readonly data: Float32Array;
}

/** Takes normalized pixels and padded ids: neither normalization nor tokenization is measured. */
export async function onnxRuntime({ models, packages, threads }: EmbedderOptions): Promise<Embedder> {
  const { InferenceSession, Tensor }: OnnxRuntime = createRequire(join(packages, "package.json"))(
    "onnxruntime-node",
  );
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: "all" };
  const [image, text] = await Promise.all(
    ["image", "text"].map((name) => InferenceSession.create(join(models, `${name}.onnx`), options)),
  );
  return {
    image(images, batch) {
      const pixels = new Tensor("float32", normalized(images), [batch, 3, IMAGE_SIZE, IMAGE_SIZE]);
      return async () => (await image!.run({ pixels })).embedding.data;
    },
    text(captions) {
      const ids = new BigInt64Array(captions.length * CONTEXT_LENGTH);
      captions.forEach((caption, row) => {
        clipTokenizer()
          .encode(caption, CONTEXT_LENGTH)
          .forEach((id, i) => {
            ids[row * CONTEXT_LENGTH + i] = BigInt(id);
          });
      });
      const tokens = new Tensor("int64", ids, [captions.length, CONTEXT_LENGTH]);
      return async () => (await text!.run({ tokens })).embedding.data;
    },
  };
}
