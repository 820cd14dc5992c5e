import type { LoadReport } from "../checkpoints/load_report";
import type { ConfigSource } from "../checkpoints/resolve_config";
import { writeWeights } from "../checkpoints/write_weights";
import { decodeImage, type ImageInput } from "../data/image";
import { clipTokenizer, type Tokenizer } from "../data/tokenizer";
import type { Device } from "../device";
import { EvaClipError } from "../errors";
import { type Encoder, stackRows } from "../eval/encoder";
import { zeroShotWeights } from "../eval/zero_shot";
import { elementCount, holds, inSharedMemory } from "../host_tensor";
import type { ClipConfig } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import { abortable } from "../train/abortable";
import { type Classification, type ClassifyOptions, DEFAULT_TEMPLATES, rankLabels } from "./classification";
import { type Embeddings, EncoderPrograms, encodeInParts } from "./encoder_programs";
import type { CallOptions, CreateOptions, EncodeOptions, LoadOptions, ModelType } from "./eva_clip_options";
import { createModel, loadModel, type WrapOptions } from "./open_model";
import { tokenRows } from "./token_rows";
import { splitRows, stackVectors, type Vectors } from "./vectors";

export interface MemoryInfo {
  readonly parameterBytes: number;
  /** Of the memory that all programs of the device share. */
  readonly arenaBytes: number;
  /** Of a GPU's kernels' own memory beside it. */
  readonly workspaceBytes: number;
}

/** A model on a device, ready to embed images and captions. Calls may overlap; the device runs them in order. */
export class EvaClip implements Encoder, AsyncDisposable {
  readonly config: ClipConfig;
  readonly tokenizer: Tokenizer;
  /** What `load` made of the file. */
  readonly loadReport: LoadReport | undefined;
  readonly #programs: EncoderPrograms;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #ownsModel: boolean;
  readonly #ownsDevice: boolean;
  #disposed: Promise<void> | undefined;

  /**
   * Wraps a model whose parameters are on a device already, for example one that is being trained; `dispose` then
   * leaves both alone. Elsewhere use `create` or `load`.
   */
  constructor(
    readonly model: ClipModel,
    private readonly processor: Device,
    options: WrapOptions = {},
  ) {
    this.config = model.config;
    this.tokenizer = options.tokenizer ?? clipTokenizer();
    this.loadReport = options.loadReport;
    this.#ownsDevice = options.owns === "model and device";
    this.#ownsModel = options.owns === "model" || this.#ownsDevice;
    this.#programs = new EncoderPrograms(processor, model);
  }

  /**
   * A model with initial weights.
   * @param config a published model's name, such as `EVA02-CLIP-B-16`, or its JSON
   * @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL`, `ERR_EVACLIP_INVALID_CONFIG`, `ERR_EVACLIP_NO_DEVICE`,
   *   `ERR_EVACLIP_OUT_OF_MEMORY`
   */
  static async create(config: ConfigSource, options: CreateOptions = {}): Promise<EvaClip> {
    const { model, device, ...rest } = await createModel(config, options);
    return new EvaClip(model, device, rest);
  }

  /**
   * A model from files: a checkpoint's folder, a folder of checkpoints (the latest is taken), or the weights of another
   * program, in any known layout, as a file, an index of shards, or a folder that holds one under its usual name.
   * @throws EvaClipError as `create`, and `ERR_EVACLIP_IO`, `ERR_EVACLIP_CHECKPOINT_CORRUPT`,
   *   `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming the tensors; `ERR_EVACLIP_INVALID_CONFIG` naming what to state as `config`
   *   or `quickGelu`
   */
  static async load(path: string, options: LoadOptions = {}): Promise<EvaClip> {
    const { model, device, ...rest } = await loadModel(path, options);
    return new EvaClip(model, device, rest);
  }

  /** `cpu` or `cuda`. */
  get device(): string {
    return this.processor.info.kind;
  }

  /** Why `auto` did not choose CUDA. */
  get fallbackReason(): string | undefined {
    return this.processor.fallbackReason;
  }

  /** The type of activations. */
  get dtype(): ModelType {
    return this.model.image.type;
  }

  get embedDim(): number {
    return this.config.embed_dim;
  }

  get imageSize(): number {
    return this.model.image.imageSize;
  }

  get contextLength(): number {
    return this.model.text.contextLength;
  }

  get setting(): string {
    return `${this.dtype} on ${this.device}`;
  }

  /**
   * The embedding of an image, or of each of several, under the evaluation transform. → [E] or a list of them
   * @throws EvaClipError `ERR_EVACLIP_DATA` naming an image that cannot be read
   */
  async encodeImage(image: ImageInput, options?: EncodeOptions): Promise<Float32Array>;
  async encodeImage(images: readonly ImageInput[], options?: EncodeOptions): Promise<Float32Array[]>;
  async encodeImage(
    input: ImageInput | readonly ImageInput[],
    options: EncodeOptions = {},
  ): Promise<Float32Array | Float32Array[]> {
    if (!Array.isArray(input)) return (await this.encodeImage([input as ImageInput], options))[0]!;
    const images = input as readonly ImageInput[];
    const bytes = this.imageSize ** 2 * 3;
    const rows = await this.#inParts(images.length, options, async (start, size) => {
      const pixels = new Uint8Array(size * bytes);
      const decode = async (image: ImageInput, i: number) =>
        pixels.set(await decodeImage(image, this.imageSize), i * bytes);
      await Promise.all(images.slice(start, start + size).map(decode));
      return this.#programs.image(pixels, size);
    });
    return splitRows(rows, this.embedDim);
  }

  /**
   * The embedding of a caption, or of each of several. Captions longer than the context are cut. → [E] or a list of them
   */
  async encodeText(caption: string, options?: EncodeOptions): Promise<Float32Array>;
  async encodeText(captions: readonly string[], options?: EncodeOptions): Promise<Float32Array[]>;
  async encodeText(
    input: string | readonly string[],
    options: EncodeOptions = {},
  ): Promise<Float32Array | Float32Array[]> {
    if (typeof input === "string") return (await this.encodeText([input], options))[0]!;
    this.#checkVocabulary();
    const encode = (start: number, size: number) => {
      const captions = input.slice(start, start + size);
      return this.#programs.text(captions.map((text) => this.tokenizer.encode(text, this.contextLength)));
    };
    return splitRows(await this.#inParts(input.length, options, encode), this.embedDim);
  }

  /**
   * Embeddings [batch, E] of images that are ready: f32 [batch, 3, S, S], normalised as `preprocess` does, or u8
   * [batch, S, S, 3] RGB.
   * @throws EvaClipError `ERR_EVACLIP_SHAPE` when the pixels do not make the batch
   */
  async encodePixels(
    pixels: Float32Array | Uint8Array,
    batch: number,
    options: EncodeOptions = {},
  ): Promise<Float32Array> {
    const each = 3 * this.imageSize ** 2;
    if (!(holds("f32", pixels) || holds("u8", pixels)) || pixels.length !== batch * each) {
      const expected = `a Float32Array [${batch}, 3, ${this.imageSize}, ${this.imageSize}] or a Uint8Array of as many elements`;
      throw new EvaClipError(
        "ERR_EVACLIP_SHAPE",
        `encodePixels takes ${expected}, got ${pixels.length} elements`,
        {
          expected: batch * each,
          actual: pixels.length,
        },
      );
    }
    const copied = inSharedMemory(pixels); // later parts are read after the call has returned
    return this.#inParts(batch, options, (start, size) =>
      this.#programs.image(copied.subarray(start * each, (start + size) * each), size),
    );
  }

  /**
   * Embeddings [batch, E] of captions that are tokenised: [batch, L] row-major, each with its end of text, then zeros.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for ids out of range or a caption without an end
   */
  async encodeTokens(tokens: Int32Array, batch: number, options: EncodeOptions = {}): Promise<Float32Array> {
    const rows = tokenRows(tokens, batch, this.model.text);
    return this.#inParts(batch, options, (start, size) =>
      this.#programs.text(rows.slice(start, start + size)),
    );
  }

  /**
   * Products of vectors, which are cosines when they have unit length: a number for two vectors, otherwise for each of
   * `a` its products with every one of `b`.
   */
  async similarity(a: Float32Array, b: Float32Array, options?: CallOptions): Promise<number>;
  async similarity(a: Vectors, b: Vectors, options?: CallOptions): Promise<Float32Array[]>;
  async similarity(a: Vectors, b: Vectors, { signal }: CallOptions = {}): Promise<number | Float32Array[]> {
    const rows = stackVectors(a, this.embedDim);
    const others = stackVectors(b, this.embedDim);
    const products = await abortable(this.products(rows, others), signal);
    const columns = others.length / this.embedDim;
    const single = [a, b].every((given) => !Array.isArray(given) && given.length === this.embedDim);
    return single ? products[0]! : splitRows(products, columns);
  }

  /** a [N, E] times the transpose of b [M, E] → [N, M] */
  async products(a: Float32Array, b: Float32Array): Promise<Float32Array> {
    return this.#use(() => this.#programs.products(a, b, this.embedDim));
  }

  /**
   * The labels that fit an image best, by prompts made of them; for several images a list of each. Best first.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` without labels, or for a template without `{}`
   */
  async classify(
    image: ImageInput,
    labels: readonly string[],
    options?: ClassifyOptions,
  ): Promise<Classification[]>;
  async classify(
    images: readonly ImageInput[],
    labels: readonly string[],
    options?: ClassifyOptions,
  ): Promise<Classification[][]>;
  async classify(
    input: ImageInput | readonly ImageInput[],
    labels: readonly string[],
    options: ClassifyOptions = {},
  ): Promise<Classification[] | Classification[][]> {
    const { templates = DEFAULT_TEMPLATES, topK = 5, signal } = options;
    if (!Array.isArray(input)) return (await this.classify([input as ImageInput], labels, options))[0]!;
    const call = signal ? { signal } : {};
    const weights = await zeroShotWeights(this, labels, templates, signal);
    const features = await this.encodeImage(input as readonly ImageInput[], call);
    const scores = await this.products(stackRows(features, this.embedDim), weights);
    const scale = Math.exp((await this.#use(() => this.model.logitScale.read())).item());
    return splitRows(scores, labels.length).map((row) => rankLabels(row, labels, scale).slice(0, topK));
  }

  /** Writes model.safetensors and config.json, which `load` reads. @throws EvaClipError `ERR_EVACLIP_DISK_FULL`, `ERR_EVACLIP_IO` */
  async save(directory: string): Promise<void> {
    await this.#use(() => writeWeights(directory, this.model));
  }

  async memoryInfo(): Promise<MemoryInfo> {
    const bytes = { f32: 4, bf16: 2, i32: 4, u8: 1 };
    const parameters = this.model.parameters();
    return {
      parameterBytes: parameters.reduce(
        (sum, { dtype, shape }) => sum + bytes[dtype] * elementCount(shape),
        0,
      ),
      ...(await this.#use(() => this.processor.memory())),
    };
  }

  /** Waits for calls under way, then frees everything that `create` or `load` took. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#release();
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #release(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    this.#programs.dispose();
    if (this.#ownsModel) for (const parameter of this.model.parameters()) parameter.dispose();
    if (this.#ownsDevice) await this.processor.dispose();
  }

  #checkVocabulary(): void {
    const [has, knows] = [this.tokenizer.vocabularySize, this.model.text.vocabulary];
    if (has <= knows) return;
    const message = `the tokenizer has ${has} ids and the model knows ${knows}: give the model's own tokenizer`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { tokenizer: has, model: knows });
  }

  /** Runs `work`, which `dispose` waits for. */
  async #use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed) throw new EvaClipError("ERR_EVACLIP_DISPOSED", "the model was disposed");
    const result = work();
    this.#underWay.add(result);
    try {
      return await result;
    } finally {
      this.#underWay.delete(result);
    }
  }

  #inParts(
    count: number,
    options: EncodeOptions,
    encode: (start: number, size: number) => Promise<Embeddings>,
  ): Promise<Float32Array> {
    return this.#use(() => encodeInParts(count, this.embedDim, options, encode));
  }
}
