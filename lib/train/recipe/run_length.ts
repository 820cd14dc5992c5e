import { invalidArgument } from "../../arguments";
import type { Dataset } from "../../data/dataset";
import { invalidOption, type RecipeOptions } from "./recipe_options";

/** Length of a run and of its epochs, in steps. */
export interface RunLength {
  readonly steps: number;
  readonly stepsPerEpoch: number;
}

const DEFAULT_BATCH = 64;
const DEFAULT_EPOCHS = 32;

/** Most steps between checkpoints and evaluations when the length of an epoch is unknown. */
const UNKNOWN_EPOCH_STEPS = 1000;

export function batchSizeOf({ batchSize = DEFAULT_BATCH }: RecipeOptions): number {
  return batchSize;
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for an epoch of unknown length or without a whole batch */
export function runLength(options: RecipeOptions, dataset: Dataset): RunLength {
  const { samplesPerEpoch, steps, epochs = DEFAULT_EPOCHS } = options;
  const batchSize = batchSizeOf(options);
  const samples = samplesPerEpoch ?? dataset.size;
  if (samples === undefined && steps === undefined) {
    const message =
      "trainRecipe: the data set does not say how many samples it has: pass options.samplesPerEpoch or options.steps";
    throw invalidArgument(message);
  }
  const stepsPerEpoch =
    samples === undefined
      ? Math.min(UNKNOWN_EPOCH_STEPS, Math.ceil(steps! / 10))
      : Math.floor(samples / batchSize);
  if (stepsPerEpoch < 1)
    throw invalidOption("batchSize", `is ${batchSize}, more than the ${samples} samples of an epoch`);
  return { steps: steps ?? stepsPerEpoch * epochs, stepsPerEpoch };
}
