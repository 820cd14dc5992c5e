import {
  abortSignal,
  anyFunction,
  oneOf,
  options as optionsOf,
  pathText,
  positiveInteger,
  text,
  wholeNumber,
} from "../../arguments";
import type { Skip } from "../../data/loader/loader_options";
import type { VectorStorage } from "../exact/exact_writer";
import type { BuildPart } from "./parts";

export interface BuildIndexOptions {
  /** Recorded in the index as the model to search it with: a path or a name that `EvaClip.load` takes. Default: none. */
  readonly modelPath?: string;
  /** Folder that sources are relative to. Default: the current folder. */
  readonly root?: string;
  /** Images encoded at a time. Default 32. */
  readonly batchSize?: number;
  /** How an exact index stores vectors; 16 bits halve the file and the time of a search. Default `f32`. */
  readonly storage?: VectorStorage;
  /** The share of this process in a build that is split over several; the last one to finish joins the parts. Default: all. */
  readonly part?: BuildPart;
  /**
   * Called with the number of samples read and, if known, the total; the build awaits it. If it throws or rejects, so does
   * the build.
   */
  readonly onProgress?: (done: number, total: number | undefined) => unknown;
  /** Called for every image that cannot be used, and awaited. */
  readonly onSkip?: (skip: Skip) => unknown;
  /** Ends the build: it rejects with the signal's reason. The next build continues from there. */
  readonly signal?: AbortSignal;
}

const part = optionsOf({ rank: wholeNumber, size: positiveInteger }).refine(({ rank, size }) => rank < size, {
  error: "a rank below the size",
});
/** Schema of `BuildIndexOptions`. */
export const buildOptions = optionsOf({
  modelPath: text.optional(),
  root: pathText.optional(),
  batchSize: positiveInteger.max(1024).optional(),
  storage: oneOf("f32", "f16", "bf16").optional(),
  part: part.optional(),
  onProgress: anyFunction.optional(),
  onSkip: anyFunction.optional(),
  signal: abortSignal.optional(),
});
