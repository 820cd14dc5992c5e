import type { LayoutName } from "./layouts/layout";

/**
 * The source of a parameter's values: the file, the file after resizing, or not the file, because the parameter was
 * skipped or is missing there.
 */
export type Origin = "loaded" | "resized" | "skipped" | "missing";

export interface ParameterOrigin {
  readonly name: string;
  readonly origin: Origin;
  /** The tensors of the file, in the order of their rows. */
  readonly from: readonly string[];
  /** The change made to it, or the reason why it was not loaded. */
  readonly note?: string;
}

/** The result of loading: for every parameter of the model and every tensor of the file. */
export interface LoadReport {
  readonly path: string;
  readonly layout: LayoutName;
  /** Every parameter of the model, in its order. */
  readonly parameters: readonly ParameterOrigin[];
  /** Tensors that follow from the configuration, such as the tables of rotary positions. */
  readonly derived: readonly string[];
  /** Tensors that were not read: of a tower not asked for, skipped by name, or of another task. */
  readonly unused: readonly string[];
}
