import { EvaClipError } from "eva-clip";
import { CounterRandom, permute } from "eva-clip/data";
import { type Augmentation, drawAugmentation, emptyAugmentation } from "./augment";
import type { Concept } from "./concepts";
import { type DataSet, DRAWING_BYTES } from "./data_set";
import { pick, sample } from "./random";
import type { TrainingConcept } from "./split";

/** A training batch before tokenization and augmentation. */
export interface SampledBatch {
  /** Concept index of each sample; all distinct, so that every image has exactly one correct caption in the batch. */
  concepts: number[];
  captions: string[];
  /** u8 [B, 64, 64, 4], straight alpha. */
  drawings: Uint8Array;
  augmentation: Augmentation;
}

export interface SamplerOptions {
  seed: number;
  batch: number;
  /** Strength of the augmentation, 0 to 1. */
  augment: number;
  /** Probability of a random background color. */
  randomBackground: number;
  /** Probability that a caption is the label alone. */
  labelOnly: number;
}

/** Streams of the seed, so that changing one use does not shift the others. */
const PURPOSE = { order: 1, sample: 2 } as const;

/** Of the captions that are not the label alone, the fraction that begins with it. */
const LABEL_AND_TAGS = 0.6;
const MAX_TAGS_WITH_LABEL = 3;
const MAX_TAGS_ALONE = 4;

/**
 * Training batches as a pure function of `(seed, step)`, so that resuming needs only the step number.
 *
 * An epoch visits the concepts in random order, in whole batches, each in a random style with a random caption.
 */
export class Sampler {
  readonly batchesPerEpoch: number;

  /** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when there are fewer concepts than samples in a batch */
  constructor(
    private readonly data: DataSet,
    private readonly train: readonly TrainingConcept[],
    private readonly options: SamplerOptions,
  ) {
    this.batchesPerEpoch = Math.floor(train.length / options.batch);
    if (this.batchesPerEpoch < 1) {
      throw new EvaClipError(
        "ERR_EVACLIP_INVALID_ARGUMENT",
        `batch: expected at most ${train.length}, the number of training concepts; found ${options.batch}`,
      );
    }
  }

  /** @param step 0, 1, … */
  batch(step: number): SampledBatch {
    const { seed, batch, augment, randomBackground } = this.options;
    const chosen = this.conceptsAt(step);
    const drawings = new Uint8Array(batch * DRAWING_BYTES);
    const augmentation = emptyAugmentation(batch);
    const captions = chosen.map(({ concept, drawings: choices }, b) => {
      const random = new CounterRandom(seed, PURPOSE.sample, step, b);
      copyDrawing(this.data, pick(random, choices), drawings, b);
      drawAugmentation(augmentation, b, random, augment, randomBackground);
      return caption(this.data.concepts[concept]!, random, this.options.labelOnly);
    });
    return { concepts: chosen.map(({ concept }) => concept), captions, drawings, augmentation };
  }

  private conceptsAt(step: number): TrainingConcept[] {
    const { seed, batch } = this.options;
    const epoch = Math.floor(step / this.batchesPerEpoch);
    const first = (step % this.batchesPerEpoch) * batch;
    return Array.from({ length: batch }, (_, b) => {
      const index = permute(first + b, this.train.length, seed, PURPOSE.order, epoch);
      return this.train[index]!;
    });
  }
}

/** Copies one drawing of the data set to entry `b` of `target`, u8 [B, 64, 64, 4]. */
export function copyDrawing(data: DataSet, drawing: number, target: Uint8Array, b: number): void {
  const start = drawing * DRAWING_BYTES;
  target.set(data.pixels.subarray(start, start + DRAWING_BYTES), b * DRAWING_BYTES);
}

/** The label, the label and one to three tags, or tags alone. */
export function caption(concept: Concept, random: CounterRandom, labelOnly: number): string {
  const kind = random.uniform();
  if (kind < labelOnly || concept.tags.length === 0) return concept.label;
  if (kind < labelOnly + (1 - labelOnly) * LABEL_AND_TAGS) {
    const tags = sample(random, concept.tags, 1 + random.below(MAX_TAGS_WITH_LABEL));
    return [concept.label, ...tags].join(" ");
  }
  return sample(random, concept.tags, MAX_TAGS_ALONE).join(" ");
}

/** Every text that can occur in training, for building the vocabulary. */
export function* trainingTexts(data: DataSet, train: readonly TrainingConcept[]): Iterable<string> {
  for (const { concept } of train) {
    const { label, tags } = data.concepts[concept]!;
    yield label;
    yield* tags;
  }
}
