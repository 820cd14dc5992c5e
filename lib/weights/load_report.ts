import type { LayoutName } from "./layouts/layout";

/**
 * Where a parameter's values come from: the file as it is, the file resized, or not from the file, because it was
 * skipped or is not there.
 */
export type Origin = "loaded" | "resized" | "skipped" | "missing";

export interface ParameterOrigin {
  readonly name: string;
  readonly origin: Origin;
  /** The tensors of the file, in the order in which their rows follow one another. */
  readonly from: readonly string[];
  /** How it was changed, or why it was not loaded. */
  readonly note?: string;
}

/** What became of every parameter of a model and of every tensor of a file. */
export interface LoadReport {
  readonly path: string;
  readonly layout: LayoutName;
  /** Every parameter of the model, in its order. */
  readonly parameters: readonly ParameterOrigin[];
  /** Tensors that follow from the configuration, such as the tables of rotary positions. */
  readonly derived: readonly string[];
  /** Tensors that were left: of a tower not asked for, skipped by name, or of another task. */
  readonly unused: readonly string[];
}
