import { anyFunction, checkArgument, ownArgument, pathText } from "../arguments";
import type { LoadReport } from "../weights/load_report";
import type { ConfigSource } from "../weights/config/resolve_config";
import { writeWeights } from "../weights/write_weights";
import type { ImageInput } from "../image/image_input";
import { clipTokenizer, type Tokenizer } from "../text/tokenizer";
import type { Device } from "../device";
import type { DeviceKind } from "../native";
import { type Encoder, scoresOf } from "./encoder";
import { elementCount } from "../shape";
import type { ClipConfig } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import type { Precision } from "../models/precision";
import {
  callOptions,
  captionList,
  checkWrapped,
  classifierOptions,
  classifyOptions,
  encodeOptions,
  labelList,
  ownPixels,
  ownTokens,
} from "./call_arguments";
import { Calls } from "./calls";
import type { Preprocessing } from "../image/preprocessing";
import type { Classification, ClassifierOptions, ClassifyOptions } from "./classification";
import { Classifier, type ClassifierModel } from "./classifier";
import type { CallOptions, CreateOptions, EncodeOptions, LoadOptions } from "./eva_clip_options";
import { ModelEncoder } from "./model_encoder";
import { createModel, loadModel, type WrapOptions } from "./open_model";
import { holdImages } from "./own_inputs";
import { tokenRows } from "./token_rows";
import { ownVectors, splitRows, type Vectors } from "./vectors";

export interface MemoryInfo {
  /** What the model's parameters hold, padding included. */
  readonly parameterBytes: number;
  /** Of the memory that all programs of the device share. */
  readonly arenaBytes: number;
  /** Of a GPU's kernels' own memory beside it. */
  readonly workspaceBytes: number;
}

/**
 * A model on a device, ready to embed images and captions. Calls may overlap; the device runs them in order.
 *
 * - Every method rejects with an `EvaClipError`: `ERR_EVACLIP_INVALID_ARGUMENT` for an argument that cannot be used,
 *   `ERR_EVACLIP_DISPOSED` after `dispose`, `ERR_EVACLIP_NOT_FINITE` where NaN or infinity would be a result.
 * - What a method is given is copied when it is called (buffers of several samples up to 64 MiB; more is refused) and may
 *   be changed, transferred or shared afterwards. Every vector returned has memory of its own.
 * - An embedding differs by a few parts in 10⁷ with the number of samples that are encoded together.
 */
export class EvaClip implements AsyncDisposable {
  readonly config: ClipConfig;
  readonly tokenizer: Tokenizer;
  /** What `load` made of the file. */
  readonly loadReport: LoadReport | undefined;
  readonly #encoder: ModelEncoder;
  readonly #calls = new Calls("the model");
  readonly #classifiers = new Set<Classifier>();
  readonly #owns: NonNullable<WrapOptions["owns"]>;
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
    checkWrapped(model, processor, options);
    this.config = model.config;
    this.tokenizer = options.tokenizer ?? clipTokenizer();
    this.loadReport = options.loadReport;
    this.#owns = { ...options.owns };
    this.#encoder = new ModelEncoder(processor, model, this.tokenizer);
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

  get device(): DeviceKind {
    return this.processor.info.kind;
  }

  /** Why `auto` did not choose CUDA. */
  get fallbackReason(): string | undefined {
    return this.processor.fallbackReason;
  }

  /** What the model computes in. */
  get precision(): Precision {
    return this.model.image.precision;
  }

  get embedDim(): number {
    return this.config.embed_dim;
  }

  get imageSize(): number {
    return this.model.image.imageSize;
  }

  /** What images go through, as the model's files state it. */
  get preprocessing(): Preprocessing {
    return this.model.preprocessing;
  }

  get contextLength(): number {
    return this.model.text.contextLength;
  }

  get disposed(): boolean {
    return this.#calls.closed;
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
    const own = ownArgument("encodeImage: options", options, encodeOptions);
    const { images, isList } = holdImages("encodeImage: images", input);
    const rows = await this.#calls.run(() => this.#encoder.images(images, own), own.signal);
    return isList ? splitRows(rows, images.length) : rows;
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
    const isList = typeof input !== "string";
    const captions = ownArgument("encodeText: captions", isList ? input : [input], captionList);
    const own = ownArgument("encodeText: options", options, encodeOptions);
    const rows = await this.#calls.run(() => this.#encoder.texts(captions, own), own.signal);
    return isList ? splitRows(rows, captions.length) : rows;
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
    const own = ownArgument("encodePixels: options", options, encodeOptions);
    const images = ownPixels(pixels, batch, this.imageSize);
    return this.#calls.run(() => this.#encoder.pixels(images, batch, own), own.signal);
  }

  /**
   * Embeddings [batch, E] of captions that are tokenised: [batch, L] row-major, each with its end of text, then zeros.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for ids out of range or a caption without an end
   */
  async encodeTokens(tokens: Int32Array, batch: number, options: EncodeOptions = {}): Promise<Float32Array> {
    const own = ownArgument("encodeTokens: options", options, encodeOptions);
    const rows = tokenRows(ownTokens(tokens, batch), batch, this.model.text);
    return this.#calls.run(() => this.#encoder.tokens(rows, own), own.signal);
  }

  /**
   * Products of vectors of E numbers, which are cosines when the vectors have unit length: a number for two vectors,
   * otherwise for each of `a` its products with every one of `b`.
   * @throws EvaClipError `ERR_EVACLIP_SHAPE` for a vector of another length; `ERR_EVACLIP_NOT_FINITE` when a vector or a
   *   product holds NaN or infinity
   */
  async similarity(a: Float32Array, b: Float32Array, options?: CallOptions): Promise<number>;
  async similarity(a: Vectors, b: Vectors, options?: CallOptions): Promise<Float32Array[]>;
  async similarity(a: Vectors, b: Vectors, options: CallOptions = {}): Promise<number | Float32Array[]> {
    const { signal } = ownArgument("similarity: options", options, callOptions);
    const rows = ownVectors("similarity: a", a, this.embedDim);
    const others = ownVectors("similarity: b", b, this.embedDim);
    const products = await this.#calls.run(() => scoresOf(this.#encoder, rows, others), signal);
    return !Array.isArray(a) && !Array.isArray(b)
      ? products[0]!
      : splitRows(products, rows.length / this.embedDim);
  }

  /**
   * Zero-shot classification with fixed labels: their embeddings are computed here and stay on the device. Use it to
   * classify images in more than one call.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` without labels, or for a template without `{}`;
   *   `ERR_EVACLIP_NOT_FINITE`
   */
  async classifier(labels: readonly string[], options: ClassifierOptions = {}): Promise<Classifier> {
    const names = ownArgument("classifier: labels", labels, labelList);
    const own = ownArgument("classifier: options", options, classifierOptions);
    return this.#calls.run(async () => {
      const made = await Classifier.create(this.#classifierModel, names, own);
      this.#classifiers.add(made);
      return made;
    }, own.signal);
  }

  /**
   * The labels that fit an image best, or for several images a list of each. Best first, equal ones in the order of
   * `labels`. Embeds the labels in every call; see `classifier`.
   * @throws EvaClipError as `classifier`, and `ERR_EVACLIP_DATA` naming an image that cannot be read
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
    const names = ownArgument("classify: labels", labels, labelList);
    const own = ownArgument("classify: options", options, classifyOptions);
    const { images, isList } = holdImages("classify: images", input);
    const ranked = await this.#calls.run(async () => {
      await using classifier = await Classifier.create(this.#classifierModel, names, own);
      return await classifier.rank(images, own);
    }, own.signal);
    return isList ? ranked : ranked[0]!;
  }

  /**
   * Writes model.safetensors and config.json, which `load` reads.
   * @throws EvaClipError `ERR_EVACLIP_DISK_FULL`, `ERR_EVACLIP_IO`
   */
  async save(directory: string): Promise<void> {
    checkArgument("save: directory", directory, pathText);
    await this.#calls.run(() => writeWeights(directory, this.model));
  }

  async memoryInfo(): Promise<MemoryInfo> {
    const bytes = { f32: 4, bf16: 2, i32: 4, u8: 1 };
    const held = this.model
      .parameters()
      .map(({ dtype, storedShape }) => bytes[dtype] * elementCount(storedShape));
    return this.#calls.run(async () => ({
      parameterBytes: held.reduce((sum, own) => sum + own, 0),
      ...(await this.processor.memory()),
    }));
  }

  /** Runs `work` with an encoder of this model as one call: `dispose` waits for all of it. */
  async asOneCall<T>(work: (encoder: Encoder) => Promise<T>): Promise<T> {
    checkArgument("asOneCall: work", work, anyFunction);
    return this.#calls.run(async () => work(this.#encoder));
  }

  /**
   * Refuses calls from now on, waits for those under way, and frees what `create` or `load` took. Idempotent: every call
   * returns the same promise.
   */
  dispose(): Promise<void> {
    this.#disposed ??= this.#release();
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  get #classifierModel(): ClassifierModel {
    return {
      model: this.model,
      device: this.processor,
      encoder: this.#encoder,
      calls: this.#calls,
      forget: (classifier) => this.#classifiers.delete(classifier),
    };
  }

  async #release(): Promise<void> {
    await this.#calls.close();
    await Promise.all([...this.#classifiers].map((classifier) => classifier.dispose()));
    this.#encoder.dispose();
    if (this.#owns.model) this.model.dispose();
    if (this.#owns.device) await this.processor.dispose();
  }
}
