import { compileByShape, type ShapedProgram } from "../compile_by_shape";
import { packText, usualBucket } from "../text/pack_text";
import type { Device } from "../device";
import { HostTensor } from "../host_tensor";
import type { ClipModel } from "../models/clip_model";
import { exp, multiply } from "../ops/elementwise";
import { l2Normalize } from "../ops/l2_normalize";
import { matmul } from "../ops/linear";
import { softmax } from "../ops/reduce";
import type { Parameter } from "../parameter";
import { Semaphore } from "../semaphore";
import type { Tensor } from "../tensor";

/** Captions of six batch sizes have programs of about eight lengths each. */
const TEXT_PROGRAMS = 128;

/** Runs given to the device at the same time: one that computes, and one that is ready when it ends. */
const RUNS_AHEAD = 2;

/** Both [batch, E]. */
export interface Embeddings {
  readonly features: Float32Array;
  readonly unit: Float32Array;
}

/** The results of a zero-shot classification. */
export interface ClassScores extends Embeddings {
  readonly similarity: Float32Array; // [batch, C]
  readonly probability: Float32Array; // [batch, C]
  /** The model's `logit_scale`, the logarithm of the factor of the similarities. */
  readonly logitScale: number;
}

type ClassOutputs = Record<"features" | "unit" | "similarity" | "probability", Tensor> & {
  logitScale: Parameter;
};
export type ClassProgram = ShapedProgram<ClassOutputs>;

/**
 * The programs of a model for inference, each compiled when it is first needed. Few runs are on the device at a time; those
 * whose signal is aborted before it is their turn never get there.
 */
export class EncoderPrograms {
  readonly #runs = new Semaphore(RUNS_AHEAD);
  readonly #image: ReturnType<EncoderPrograms["imageProgram"]>;
  readonly #text: ReturnType<EncoderPrograms["textProgram"]>;
  readonly #products: ReturnType<EncoderPrograms["productProgram"]>;

  constructor(
    private readonly device: Device,
    private readonly model: ClipModel,
  ) {
    this.#image = this.imageProgram();
    this.#text = this.textProgram();
    this.#products = this.productProgram();
  }

  /** Embeddings of images u8 [batch, S, S, 3] or normalized f32 [batch, 3, S, S], raw and of unit length. */
  async image(pixels: Uint8Array | Float32Array, batch: number, signal?: AbortSignal): Promise<Embeddings> {
    const images = this.#images(pixels, batch);
    return embeddingsOf(await this.#runs.run(() => this.#image({ images }), signal));
  }

  /** Embeddings of captions, given as ids without padding: raw and of unit length. */
  async text(rows: readonly ArrayLike<number>[], signal?: AbortSignal): Promise<Embeddings> {
    const { tokens, cuSeqlens, textEnds } = packText(rows, usualBucket(rows));
    const inputs = {
      tokens: new HostTensor("i32", [tokens.length], tokens),
      cuSeqlens: new HostTensor("i32", [cuSeqlens.length], cuSeqlens),
      textEnds: new HostTensor("i32", [textEnds.length], textEnds),
    };
    return embeddingsOf(await this.#runs.run(() => this.#text(inputs), signal));
  }

  /** a [N, E] times the transpose of b [M, E] → [N, M] */
  async products(
    a: Float32Array,
    b: Float32Array,
    columns: number,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const inputs = {
      a: new HostTensor("f32", [a.length / columns, columns], a),
      b: new HostTensor("f32", [b.length / columns, columns], b),
    };
    const { y } = await this.#runs.run(() => this.#products(inputs), signal);
    return y.data as Float32Array;
  }

  /** One program from pixels to probabilities: softmax(e^logit_scale · unit · weightsᵀ), weights [C, E] of unit length. */
  classification(weights: Parameter): ClassProgram {
    return compileByShape(this.device, ({ images }): ClassOutputs => {
      const features = this.model.image.features(images!);
      const unit = l2Normalize(features);
      const similarity = matmul(unit, weights, { transposeB: true });
      const { logitScale } = this.model;
      const probability = softmax(multiply(similarity, exp(logitScale)));
      return { features, unit, similarity, probability, logitScale };
    });
  }

  /** Runs a program of `classification` on images u8 [batch, S, S, 3]. */
  async classify(
    program: ClassProgram,
    pixels: Uint8Array,
    batch: number,
    signal?: AbortSignal,
  ): Promise<ClassScores> {
    const images = this.#images(pixels, batch);
    const results = await this.#runs.run(() => program({ images }), signal);
    return {
      ...embeddingsOf(results),
      similarity: results.similarity.data as Float32Array,
      probability: results.probability.data as Float32Array,
      logitScale: results.logitScale.item(),
    };
  }

  dispose(): void {
    this.#image.dispose();
    this.#text.dispose();
    this.#products.dispose();
  }

  #images(pixels: Uint8Array | Float32Array, batch: number): HostTensor {
    const side = this.model.image.imageSize;
    return pixels.BYTES_PER_ELEMENT === 1
      ? new HostTensor("u8", [batch, side, side, 3], pixels as Uint8Array)
      : new HostTensor("f32", [batch, 3, side, side], pixels as Float32Array);
  }

  private imageProgram() {
    return compileByShape(this.device, ({ images }) => {
      const features = this.model.image.features(images!);
      return { features, unit: l2Normalize(features) };
    });
  }

  private textProgram() {
    const encode = (inputs: Record<string, Tensor>) => {
      const { tokens, cuSeqlens, textEnds } = inputs as Record<"tokens" | "cuSeqlens" | "textEnds", Tensor>;
      const features = this.model.text.features({ tokens, cuSeqlens, textEnds });
      return { features, unit: l2Normalize(features) };
    };
    return compileByShape(this.device, encode, { maxPrograms: TEXT_PROGRAMS });
  }

  private productProgram() {
    return compileByShape(this.device, ({ a, b }) => ({ y: matmul(a!, b!, { transposeB: true }) }));
  }
}

function embeddingsOf({ features, unit }: Record<"features" | "unit", HostTensor>): Embeddings {
  return { features: features.data as Float32Array, unit: unit.data as Float32Array };
}
