import type { Device } from "../device";
import type { ClipModel } from "../models/clip_model";
import type { Tokenizer } from "../text/tokenizer";
import { type BatchSettings, SampleBatches } from "./batching/sample_batches";
import { Calls } from "./calls";
import type { ClassifierOptions } from "./classification";
import { Classifier } from "./classifier";
import { type MemoryInfo, memoryInfo } from "./memory_info";
import { ModelEncoder } from "./model_encoder";
import type { WrapOptions } from "./open_model";

/** What an `EvaClip` holds in addition to its model and device, from its pending calls to its release. */
export class ModelResources {
  readonly calls = new Calls("the model");
  readonly encoder: ModelEncoder;
  readonly #classifiers = new Set<Classifier>();
  readonly #batches = new Set<SampleBatches>();
  #released: Promise<void> | undefined;

  /** @param owns the objects that `release` frees as well */
  constructor(
    private readonly model: ClipModel,
    private readonly device: Device,
    tokenizer: Tokenizer,
    private readonly owns: NonNullable<WrapOptions["owns"]>,
  ) {
    this.encoder = new ModelEncoder(device, model, tokenizer);
  }

  /** A classifier that lives until it is disposed or the model is. Takes checked arguments, within a call. */
  async classifier(labels: readonly string[], options: ClassifierOptions): Promise<Classifier> {
    const { model, device, encoder, calls } = this;
    const forget = (classifier: Classifier) => this.#classifiers.delete(classifier);
    const made = await Classifier.create({ model, device, encoder, calls, forget }, labels, options);
    this.#classifiers.add(made);
    return made;
  }

  /** Batches of samples of concurrent calls; each sample is a call of the model. */
  batches(settings: BatchSettings): SampleBatches {
    const { encoder, calls } = this;
    const forget = (batches: SampleBatches) => this.#batches.delete(batches);
    const batches = new SampleBatches({ encoder, calls, forget }, settings);
    this.#batches.add(batches);
    return batches;
  }

  memoryInfo(): Promise<MemoryInfo> {
    return memoryInfo({
      device: this.device,
      parameters: this.model.parameters(),
      classifiers: this.#classifiers,
      batches: this.#batches,
    });
  }

  /** Rejects new calls, waits for pending ones, and frees everything. Every call returns the same promise. */
  release(): Promise<void> {
    this.#released ??= this.#free();
    return this.#released;
  }

  async #free(): Promise<void> {
    await this.calls.close();
    await Promise.all([...this.#batches].map((batches) => batches.close()));
    await Promise.all([...this.#classifiers].map((classifier) => classifier.dispose()));
    this.encoder.dispose();
    if (this.owns.model) this.model.dispose();
    if (this.owns.device) await this.device.dispose();
  }
}
