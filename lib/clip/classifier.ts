import { ownArgument } from "../arguments";
import type { Device } from "../device";
import type { ImageInput, HeldImage } from "../image/image_input";
import { inTurns } from "../image/turns";
import type { ClipModel } from "../models/clip_model";
import { Parameter } from "../parameter";
import { throwIfAborted } from "../abortable";
import { rankOptions } from "./call_arguments";
import { Calls } from "./calls";
import {
  bestLabels,
  type Classification,
  type ClassifierOptions,
  DEFAULT_TEMPLATES,
  type RankOptions,
} from "./classification";
import type { ClassProgram, ClassScores } from "./encoder_programs";
import { checkEmbeddings, notFinite } from "./finite";
import type { Part } from "./in_parts";
import type { ModelEncoder } from "./model_encoder";
import { holdImages } from "./own_inputs";
import { zeroShotWeights } from "./zero_shot_weights";

/** Labels ranked before the event loop may turn. */
const LABELS_PER_SLICE = 32_768;

/** The model that a classifier is made of. */
export interface ClassifierModel {
  readonly model: ClipModel;
  readonly device: Device;
  readonly encoder: ModelEncoder;
  /** Calls of the classifier are calls of the model as well. */
  readonly calls: Calls;
  /** Takes the classifier from those that the model disposes. */
  readonly forget: (classifier: Classifier) => void;
}

/**
 * Zero-shot classification with fixed labels, created by `EvaClip.classifier`. The label embeddings are computed once, from
 * the model's weights at that time, and stay on the device; a batch of images is one run of one program. `dispose` and
 * the model's `dispose` free them.
 */
export class Classifier implements AsyncDisposable {
  readonly labels: readonly string[];
  readonly #of: ClassifierModel;
  /**
   * The label embeddings [C, E].
   * @internal
   */
  readonly weights: Parameter;
  readonly #program: ClassProgram;
  readonly #calls = new Calls("the classifier");
  #disposed: Promise<void> | undefined;

  private constructor(of: ClassifierModel, labels: readonly string[], weights: Parameter) {
    this.labels = labels;
    this.#of = of;
    this.weights = weights;
    this.#program = of.encoder.programs.classification(weights);
  }

  /**
   * Takes arguments that are already checked and copied.
   * @internal
   */
  static async create(
    of: ClassifierModel,
    labels: readonly string[],
    { templates = DEFAULT_TEMPLATES, signal }: ClassifierOptions,
  ): Promise<Classifier> {
    const { encoder, device } = of;
    const rows = await zeroShotWeights(encoder, labels, templates, signal);
    throwIfAborted(signal);
    const weights = new Parameter("classifier.weights", [labels.length, encoder.embedDim]);
    weights.allocate(device);
    try {
      await weights.write(rows);
      throwIfAborted(signal);
    } catch (error) {
      weights.dispose();
      throw error;
    }
    return new Classifier(of, labels, weights);
  }

  get disposed(): boolean {
    return this.#calls.closed;
  }

  /**
   * The labels that best match an image, or one list per image. Best first; ties in the order of `labels`.
   * @throws EvaClipError `ERR_EVACLIP_DATA` naming an unreadable image; `ERR_EVACLIP_DISPOSED`;
   *   `ERR_EVACLIP_NOT_FINITE`
   */
  async classify(image: ImageInput, options?: RankOptions): Promise<Classification[]>;
  async classify(images: readonly ImageInput[], options?: RankOptions): Promise<Classification[][]>;
  async classify(
    input: ImageInput | readonly ImageInput[],
    options: RankOptions = {},
  ): Promise<Classification[] | Classification[][]> {
    const own = ownArgument("classify: options", options, rankOptions);
    const { images, isList } = holdImages("classify: images", input);
    const ranked = await this.#calls.run(() => this.#of.calls.run(() => this.rank(images, own)), own.signal);
    return isList ? ranked : ranked[0]!;
  }

  /**
   * `classify` for arguments that are already checked and copied, within a call of the model.
   * @internal
   */
  async rank(images: readonly HeldImage[], options: RankOptions): Promise<Classification[][]> {
    const { encoder } = this.#of;
    const ranked: Classification[][] = [];
    await encoder.decodeInParts(images, options, async (pixels, part) => {
      const scores = await encoder.programs.classify(this.#program, pixels, part.size, options.signal);
      this.#check(scores, part);
      await inTurns(part.size, LABELS_PER_SLICE / this.labels.length, (begin, end) => {
        for (let i = begin; i < end; i++) ranked.push(this.#best(scores, i, options.topK));
      });
    });
    return ranked;
  }

  /** Rejects new calls, waits for pending ones, and frees the label embeddings. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#release();
    return this.#disposed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #release(): Promise<void> {
    await this.#calls.close();
    this.#program.dispose();
    this.weights.dispose();
    this.#of.forget(this);
  }

  #best({ similarity, probability }: ClassScores, image: number, topK?: number): Classification[] {
    const count = this.labels.length;
    const row = (of: Float32Array) => of.subarray(image * count, (image + 1) * count);
    return bestLabels(this.labels, row(similarity), row(probability), topK);
  }

  /** @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` naming an image or the logit scale */
  #check({ features, unit, logitScale }: ClassScores, { start }: Part): void {
    checkEmbeddings(features, unit, this.#of.encoder.embedDim, start, (i) => `image ${i}`);
    // f32, to be multiplied with cosines.
    const scale = Math.fround(Math.exp(logitScale));
    if (Number.isFinite(logitScale) && Number.isFinite(scale)) return;
    const { name } = this.#of.model.logitScale;
    const message = `the parameter ${name} is ${logitScale}, and e to it is ${scale}`;
    throw notFinite(message, { parameter: name, value: logitScale });
  }
}
