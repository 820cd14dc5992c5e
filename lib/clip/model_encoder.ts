import { availableProcessors } from "../container_limits";
import type { HeldImage } from "../image/image_input";
import { prepareHeldImage } from "../image/prepare";
import type { Tokenizer } from "../text/tokenizer";
import type { Device } from "../device";
import type { Encoder } from "./encoder";
import { checkEmbeddings, type Describe, firstNotFinite } from "./finite";
import { holds, sharedArray } from "../host_tensor";
import type { ClipModel } from "../models/clip_model";
import type { Preprocessing } from "../image/preprocessing";
import { Semaphore } from "../semaphore";
import { type Embeddings, EncoderPrograms } from "./encoder_programs";
import type { EncodeOptions } from "./eva_clip_options";
import { inParts, type Part, type PartOptions } from "./in_parts";
import { checkTokenizer, checkTokenizerRow } from "./token_rows";
import { splitRows } from "./vectors";

/**
 * Images of all models that are read or decoded at the same time. More would fill libuv's queue, in which other reads of the
 * process wait as well, and could no longer be given up.
 */
const decoders = new Semaphore(Math.max(4, 2 * availableProcessors()));

const imageName = (index: number) => `image ${index}`;
const captionName = (index: number) => `caption ${index}`;

/**
 * Encodes arguments that `EvaClip` has already checked and copied, and batches of an evaluation. Every embedding is
 * checked to be finite.
 */
export class ModelEncoder implements Encoder {
  readonly programs: EncoderPrograms;

  constructor(
    private readonly device: Device,
    private readonly model: ClipModel,
    private readonly tokenizer: Tokenizer,
  ) {
    this.programs = new EncoderPrograms(device, model);
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

  get description(): string {
    return `${this.model.image.precision} on ${this.device.info.kind}`;
  }

  /** An image as the model takes it, u8 [S, S, 3]. @throws the signal's reason, when it is aborted before the decoding */
  prepareImage(image: HeldImage, signal?: AbortSignal): Promise<Uint8Array> {
    return decoders.run(() => prepareHeldImage(image, this.imageSize, this.preprocessing), signal);
  }

  /**
   * The ids of a caption without padding.
   * @param index of the caption, for an error
   */
  tokenIds(caption: string, index = 0): number[] {
    const { contextLength, vocabulary } = this.model.text;
    checkTokenizer(this.tokenizer, vocabulary);
    const ids = this.tokenizer.encode(caption, contextLength);
    checkTokenizerRow(ids, index, this.model.text);
    return ids;
  }

  /** Decodes images in parts, each u8 [size, S, S, 3], one part ahead of `run`. */
  async decodeInParts(
    images: readonly HeldImage[],
    options: PartOptions,
    run: (pixels: Uint8Array, part: Part) => Promise<void>,
  ): Promise<void> {
    const bytes = this.imageSize ** 2 * 3;
    const prepare = async ({ start, size }: Part) => {
      const pixels = sharedArray("u8", size * bytes);
      const decode = async (image: HeldImage, i: number) =>
        pixels.set(await this.prepareImage(image, options.signal), i * bytes);
      await Promise.all(images.slice(start, start + size).map(decode));
      return pixels;
    };
    return inParts(images.length, options, prepare, run);
  }

  /** → [N, E] */
  async images(images: readonly HeldImage[], options: EncodeOptions): Promise<Float32Array> {
    const rows = new EmbeddingRows(images.length, this.embedDim, options);
    await this.decodeInParts(images, options, async (pixels, part) =>
      rows.add(await this.programs.image(pixels, part.size, options.signal), part, imageName),
    );
    return rows.data;
  }

  /** → [N, E] */
  async texts(captions: readonly string[], options: EncodeOptions): Promise<Float32Array> {
    return this.#text(captions.length, options, ({ start, size }) =>
      captions.slice(start, start + size).map((caption, i) => this.tokenIds(caption, start + i)),
    );
  }

  /** [batch, S, S, 3] u8 or [batch, 3, S, S] f32 → [batch, E] */
  async pixels(
    pixels: Float32Array | Uint8Array,
    batch: number,
    options: EncodeOptions,
  ): Promise<Float32Array> {
    const each = 3 * this.imageSize ** 2;
    const describe = (i: number) => {
      const own = pixels.subarray(i * each, (i + 1) * each);
      const bad = holds("f32", own) ? firstNotFinite(own as Float32Array) : -1;
      return bad < 0 ? imageName(i) : `${imageName(i)}, whose value ${bad} is ${own[bad]},`;
    };
    const rows = new EmbeddingRows(batch, this.embedDim, options);
    const slice = ({ start, size }: Part) => pixels.subarray(start * each, (start + size) * each);
    await inParts(batch, options, slice, async (own, part) =>
      rows.add(await this.programs.image(own, part.size, options.signal), part, describe),
    );
    return rows.data;
  }

  /** Captions as ids without padding → [N, E] */
  tokens(rows: readonly Int32Array[], options: EncodeOptions): Promise<Float32Array> {
    return this.#text(rows.length, options, ({ start, size }) => rows.slice(start, start + size));
  }

  encodePixels(pixels: Uint8Array, batch: number, options: EncodeOptions = {}): Promise<Float32Array> {
    return this.pixels(pixels, batch, options);
  }

  async encodeText(captions: readonly string[], options: EncodeOptions = {}): Promise<Float32Array[]> {
    return splitRows(await this.texts(captions, options), captions.length);
  }

  products(
    a: Float32Array,
    b: Float32Array,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Float32Array> {
    return this.programs.products(a, b, this.embedDim, signal);
  }

  dispose(): void {
    this.programs.dispose();
  }

  async #text(
    count: number,
    options: EncodeOptions,
    tokenRows: (part: Part) => readonly ArrayLike<number>[],
  ): Promise<Float32Array> {
    const rows = new EmbeddingRows(count, this.embedDim, options);
    await inParts(count, options, tokenRows, async (ids, part) =>
      rows.add(await this.programs.text(ids, options.signal), part, captionName),
    );
    return rows.data;
  }
}

/** The embeddings [count, E] of a call, collected part by part. */
class EmbeddingRows {
  readonly data: Float32Array;
  readonly #normalize: boolean;

  constructor(
    count: number,
    private readonly columns: number,
    { normalize = true }: EncodeOptions,
  ) {
    this.data = new Float32Array(count * columns);
    this.#normalize = normalize;
  }

  add({ features, unit }: Embeddings, { start }: Part, describe: Describe): void {
    checkEmbeddings(features, this.#normalize ? unit : undefined, this.columns, start, describe);
    this.data.set(this.#normalize ? unit : features, start * this.columns);
  }
}
