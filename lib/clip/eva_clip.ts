import { throwIfAborted } from "../abortable";
import { anyFunction, checkArgument, ownArgument, pathText, text } from "../arguments";
import type { LoadReport } from "../weights/load_report";
import type { ConfigSource } from "../weights/config/resolve_config";
import { writeWeights } from "../weights/write_weights";
import { holdImage, type ImageInput } from "../image/image_input";
import { clipTokenizer, type Tokenizer } from "../text/tokenizer";
import type { Device } from "../device";
import type { DeviceKind } from "../native";
import { type Encoder, scoresOf } from "./encoder";
import type { ClipConfig } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import type { Precision } from "../models/precision";
import type { Parameter } from "../parameter";
import {
  callOptions,
  captionList,
  checkWrapped,
  classifierOptions,
  classifyOptions,
  encodeOptions,
  iterable,
  labelList,
  ownPixels,
  ownTokens,
  saveOptions,
  streamOptions,
} from "./call_arguments";
import { type EncodeInput, encodeStream, type Inputs } from "./batching/encode_stream";
import type { BatchSettings, SampleBatches } from "./batching/sample_batches";
import type { Calls } from "./calls";
import type { Preprocessing } from "../image/preprocessing";
import type { Classification, ClassifierOptions, ClassifyOptions } from "./classification";
import type { Classifier } from "./classifier";
import type {
  CallOptions,
  CreateOptions,
  EmbeddingStream,
  EncodeOptions,
  LoadOptions,
  SaveOptions,
  StreamOptions,
} from "./eva_clip_options";
import type { MemoryInfo } from "./memory_info";
import type { ModelEncoder } from "./model_encoder";
import { ModelResources } from "./model_resources";
import { createModel, loadModel, type WrapOptions } from "./open_model";
import { holdImages } from "./own_inputs";
import { tokenRows } from "./token_rows";
import { ownVectors, splitRows, type Vectors } from "./vectors";

/**
 * A model on a device that embeds images and captions. Calls may overlap; the device runs them in order.
 *
 * - Every method rejects with an `EvaClipError`: `ERR_EVACLIP_INVALID_ARGUMENT` for an invalid argument,
 *   `ERR_EVACLIP_DISPOSED` after `dispose`, `ERR_EVACLIP_NOT_FINITE` where a result would be NaN or infinite.
 * - Arguments are copied when a method is called (for several samples, at most 64 MiB of buffers) and may be modified,
 *   transferred or shared afterwards. Every returned vector has its own memory.
 * - The number of samples encoded together changes an embedding by a few parts in 10⁷.
 */
export class EvaClip implements AsyncDisposable {
  readonly config: ClipConfig;
  readonly tokenizer: Tokenizer;
  /** How `load` filled the parameters. */
  readonly loadReport: LoadReport | undefined;
  readonly #resources: ModelResources;

  /**
   * Wraps a model whose parameters are allocated on a device, for example one that is being trained; by default `dispose`
   * frees neither. Otherwise use `create` or `load`.
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
    this.#resources = new ModelResources(model, processor, this.tokenizer, { ...options.owns });
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
   * Loads a model from a checkpoint folder, a folder of checkpoints (the latest one), or weights in any known layout: a
   * file, a shard index, or a folder that contains one under its usual name. A published name and `hf-hub:OWNER/NAME` are
   * downloaded from the Hugging Face Hub, unless a path has that name.
   * @throws EvaClipError as `create`, and `ERR_EVACLIP_IO`, `ERR_EVACLIP_HUB_…`, `ERR_EVACLIP_CHECKPOINT_CORRUPT`,
   *   `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming the tensors; `ERR_EVACLIP_INVALID_CONFIG` naming the fields to pass as
   *   `config`, `quickGelu` or `preprocessing`
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

  /** The precision of the model's computations. */
  get precision(): Precision {
    return this.model.image.precision;
  }

  get embedDim(): number {
    return this.config.embed_dim;
  }

  get imageSize(): number {
    return this.model.image.imageSize;
  }

  /** How images are prepared, as the model's files state it. */
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
   * The embedding of an image, or one per image of a list, with the evaluation transform. → [E] each
   * @throws EvaClipError `ERR_EVACLIP_DATA` naming an unreadable image
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

  /** The embedding of a caption, or a list of embeddings of several; captions are cut to the context length. → [E] each */
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
   * The embeddings of a stream of images, in its order: the next images are read and decoded while the device computes.
   * At most two batches of images are taken before the consumer takes their embeddings. → [E] each
   * @throws EvaClipError as `encodeImage`, unless `onError` is given; what `source` throws
   */
  encodeImages(source: Inputs<ImageInput>, options?: EncodeOptions & { onError?: never }): EmbeddingStream;
  encodeImages(source: Inputs<ImageInput>, options: StreamOptions): EmbeddingStream<undefined>;
  encodeImages(source: Inputs<ImageInput>, options: StreamOptions = {}): EmbeddingStream<undefined> {
    return this.#stream("encodeImages", source, options, (batches, image, index, given) =>
      batches.image(holdImage(`encodeImages: image ${index}`, image), given),
    );
  }

  /** The embeddings of a stream of captions, as `encodeImages`. → [E] each */
  encodeTexts(source: Inputs<string>, options?: EncodeOptions & { onError?: never }): EmbeddingStream;
  encodeTexts(source: Inputs<string>, options: StreamOptions): EmbeddingStream<undefined>;
  encodeTexts(source: Inputs<string>, options: StreamOptions = {}): EmbeddingStream<undefined> {
    return this.#stream("encodeTexts", source, options, (batches, caption, index, given) => {
      checkArgument(`encodeTexts: caption ${index}`, caption, text);
      return batches.caption(caption, given);
    });
  }

  /**
   * Embeddings [batch, E] of prepared images.
   * @param pixels f32 [batch, 3, S, S], normalized as by `preprocess`, or u8 RGB [batch, S, S, 3]; copied at the call
   * @throws EvaClipError `ERR_EVACLIP_SHAPE` for another number of pixels
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
   * Embeddings [batch, E] of tokenized captions.
   * @param tokens [batch, L] row-major, each row with an end of text, then zeros; copied at the call
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for ids out of range or a caption without an end of text
   */
  async encodeTokens(tokens: Int32Array, batch: number, options: EncodeOptions = {}): Promise<Float32Array> {
    const own = ownArgument("encodeTokens: options", options, encodeOptions);
    const rows = tokenRows(ownTokens(tokens, batch), batch, this.model.text);
    return this.#calls.run(() => this.#encoder.tokens(rows, own), own.signal);
  }

  /**
   * Dot products of vectors [E], which are cosines for vectors of unit length: a number for two vectors, otherwise one
   * row per vector of `a` with its products with every vector of `b`.
   * @throws EvaClipError `ERR_EVACLIP_SHAPE` for a vector of another length; `ERR_EVACLIP_NOT_FINITE` when a vector or a
   *   product is NaN or infinite
   */
  async similarity(a: Float32Array, b: Float32Array, options?: CallOptions): Promise<number>;
  async similarity(a: Vectors, b: Vectors, options?: CallOptions): Promise<Float32Array[]>;
  async similarity(a: Vectors, b: Vectors, options: CallOptions = {}): Promise<number | Float32Array[]> {
    const { signal } = ownArgument("similarity: options", options, callOptions);
    const rows = ownVectors("similarity: a", a, this.embedDim);
    const others = ownVectors("similarity: b", b, this.embedDim);
    const products = await this.#calls.run(() => scoresOf(this.#encoder, rows, others, signal), signal);
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
    return this.#calls.run(() => this.#resources.classifier(names, own), own.signal);
  }

  /**
   * The labels that best match an image, or one list per image. Best first; ties in the order of `labels`. Embeds the
   * labels in every call; see `classifier`.
   * @throws EvaClipError as `classifier`, and `ERR_EVACLIP_DATA` naming an unreadable image
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
      await using classifier = await this.#resources.classifier(names, own);
      return await classifier.rank(images, own);
    }, own.signal);
    return isList ? ranked : ranked[0]!;
  }

  /**
   * Writes weights and configuration into a folder, which `load` reads; by default model.safetensors and config.json.
   * @returns the path of each file written
   * @throws EvaClipError as `writeWeights`
   */
  async save(directory: string, options: SaveOptions = {}): Promise<readonly string[]> {
    checkArgument("save: directory", directory, pathText);
    const { signal, ...how } = ownArgument("save: options", options, saveOptions);
    const values = async (parameter: Parameter) => {
      throwIfAborted(signal);
      return parameter.read();
    };
    return this.#calls.run(() => writeWeights(directory, this.model, { ...how, values }), signal);
  }

  /** The memory that the model takes, on its device and on the host, and what it shares with others on the device. */
  async memoryInfo(): Promise<MemoryInfo> {
    return this.#calls.run(() => this.#resources.memoryInfo());
  }

  /** Runs `work` with an encoder of this model as one call, which `dispose` waits for. */
  async asOneCall<T>(work: (encoder: Encoder) => Promise<T>): Promise<T> {
    checkArgument("asOneCall: work", work, anyFunction);
    return this.#calls.run(async () => work(this.#encoder));
  }

  /**
   * Batches of samples of concurrent calls; each sample is a call of the model.
   * @internal
   */
  openBatches(settings: BatchSettings): SampleBatches {
    return this.#resources.batches(settings);
  }

  /**
   * Rejects new calls, waits for pending ones, and frees the classifiers and everything `create` or `load` allocated.
   * Idempotent: every call returns the same promise.
   */
  dispose(): Promise<void> {
    return this.#resources.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #stream<Input>(
    name: string,
    source: Inputs<Input>,
    options: StreamOptions,
    encode: EncodeInput<Input>,
  ): EmbeddingStream<undefined> {
    checkArgument(`${name}: source`, source, iterable);
    const own = ownArgument(`${name}: options`, options, streamOptions);
    return encodeStream((settings) => this.openBatches(settings), source, own, encode);
  }

  get #calls(): Calls {
    return this.#resources.calls;
  }

  get #encoder(): ModelEncoder {
    return this.#resources.encoder;
  }
}
