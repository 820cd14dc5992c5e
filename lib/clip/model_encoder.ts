import type { HeldImage } from "../image/image_input";
import { prepareHeldImage } from "../image/prepare";
import type { Tokenizer } from "../text/tokenizer";
import type { Device } from "../device";
import type { Encoder } from "./encoder";
import { checkEmbedding, firstNotFinite, notFinite } from "./finite";
import { holds } from "../host_tensor";
import type { ClipModel } from "../models/clip_model";
import type { Preprocessing } from "../image/preprocessing";
import { throwIfAborted } from "../abortable";
import { batchParts, type Embeddings, EncoderPrograms, LARGEST_BATCH } from "./encoder_programs";
import type { EncodeOptions } from "./eva_clip_options";
import { checkTokenizer, checkTokenizerRow } from "./token_rows";
import { splitRows } from "./vectors";

/**
 * Encodes what `EvaClip` has checked and copied, and evaluation's own batches: no argument is checked again, none is
 * copied. Every embedding is checked to be finite.
 */
export class ModelEncoder implements Encoder {
  readonly #programs: EncoderPrograms;

  constructor(
    private readonly device: Device,
    private readonly model: ClipModel,
    private readonly tokenizer: Tokenizer,
  ) {
    this.#programs = new EncoderPrograms(device, model);
  }

  get embedDim(): number {
    return this.model.config.embed_dim;
  }

  get imageSize(): number {
    return this.model.image.imageSize;
  }

  get preprocessing(): Preprocessing {
    return this.model.preprocessing;
  }

  get setting(): string {
    return `${this.model.image.precision} on ${this.device.info.kind}`;
  }

  /** → [N, E] */
  images(images: readonly HeldImage[], options: EncodeOptions): Promise<Float32Array> {
    const bytes = this.imageSize ** 2 * 3;
    const encode = async (start: number, size: number) => {
      const pixels = new Uint8Array(size * bytes);
      const decode = async (image: HeldImage, i: number) =>
        pixels.set(await prepareHeldImage(image, this.imageSize, this.preprocessing), i * bytes);
      await Promise.all(images.slice(start, start + size).map(decode));
      throwIfAborted(options.signal);
      return this.#programs.image(pixels, size);
    };
    return this.#inParts(images.length, options, encode, (i) => `image ${i}`);
  }

  /** → [N, E] */
  async texts(captions: readonly string[], options: EncodeOptions): Promise<Float32Array> {
    const { contextLength, vocabulary } = this.model.text;
    checkTokenizer(this.tokenizer, vocabulary);
    const encode = (start: number, size: number) => {
      const rows = captions.slice(start, start + size).map((caption, i) => {
        const ids = this.tokenizer.encode(caption, contextLength);
        checkTokenizerRow(ids, start + i, this.model.text);
        return ids;
      });
      return this.#programs.text(rows);
    };
    return this.#inParts(captions.length, options, encode, (i) => `caption ${i}`);
  }

  /** [batch, S, S, 3] u8 or [batch, 3, S, S] f32 → [batch, E] */
  pixels(pixels: Float32Array | Uint8Array, batch: number, options: EncodeOptions): Promise<Float32Array> {
    const each = 3 * this.imageSize ** 2;
    const describe = (i: number) => {
      const own = pixels.subarray(i * each, (i + 1) * each);
      const bad = holds("f32", own) ? firstNotFinite(own as Float32Array) : -1;
      return bad < 0 ? `image ${i}` : `image ${i}, whose value ${bad} is ${own[bad]},`;
    };
    const encode = (start: number, size: number) =>
      this.#programs.image(pixels.subarray(start * each, (start + size) * each), size);
    return this.#inParts(batch, options, encode, describe);
  }

  /** Captions as ids without padding → [N, E] */
  tokens(rows: readonly Int32Array[], options: EncodeOptions): Promise<Float32Array> {
    const encode = (start: number, size: number) => this.#programs.text(rows.slice(start, start + size));
    return this.#inParts(rows.length, options, encode, (i) => `caption ${i}`);
  }

  encodePixels(pixels: Uint8Array, batch: number, options: EncodeOptions = {}): Promise<Float32Array> {
    return this.pixels(pixels, batch, options);
  }

  async encodeText(captions: readonly string[], options: EncodeOptions = {}): Promise<Float32Array[]> {
    return splitRows(await this.texts(captions, options), captions.length);
  }

  products(a: Float32Array, b: Float32Array): Promise<Float32Array> {
    return this.#programs.products(a, b, this.embedDim);
  }

  /** What cosines are multiplied by before the softmax: e to the model's `logit_scale`. */
  async logitScale(): Promise<number> {
    const value = (await this.model.logitScale.read()).item();
    const scale = Math.exp(value);
    if (Number.isFinite(value) && Number.isFinite(scale)) return scale;
    throw notFinite(`the parameter ${this.model.logitScale.name} is ${value}, and e to it is ${scale}`, {
      parameter: this.model.logitScale.name,
      value,
    });
  }

  dispose(): void {
    this.#programs.dispose();
  }

  /**
   * Encodes `count` samples in parts. → [count, E]
   * @param encode Embeddings of `size` samples from `start` on.
   * @param describe Names a sample in an error.
   */
  async #inParts(
    count: number,
    { normalize = true, batchSize = LARGEST_BATCH, signal }: EncodeOptions,
    encode: (start: number, size: number) => Promise<Embeddings>,
    describe: (index: number) => string,
  ): Promise<Float32Array> {
    const columns = this.embedDim;
    const rows = new Float32Array(count * columns);
    let start = 0;
    for (const size of batchParts(count, batchSize)) {
      throwIfAborted(signal);
      const { unit, features } = await encode(start, size);
      for (let i = 0; i < size; i++) {
        const row = (of: Float32Array) => of.subarray(i * columns, (i + 1) * columns);
        checkEmbedding(row(features), normalize ? row(unit) : undefined, start + i, describe);
      }
      rows.set(normalize ? unit : features, start * columns);
      start += size;
    }
    return rows;
  }
}
