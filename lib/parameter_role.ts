import { z } from "zod";
import { flag, oneOf, options, wholeNumber } from "./arguments";

export type TowerName = "image" | "text";

/** A place within a tower; a number is a block, counted from 0. */
export type TowerLayer = "embedding" | "input_norm" | number | "final_norm" | "head";

/** How stored values of a different size are resized for a parameter. */
export type ResizeRule =
  /** Rows are `prefixTokens` single tokens, then the positions of a square grid: bicubic. */
  | { readonly kind: "grid"; readonly prefixTokens: number; readonly alignCorners?: boolean | undefined }
  /** [width, channels, P, P], a projection of patches: bicubic. */
  | { readonly kind: "patches" }
  /** Rows are positions in a text: the first ones are kept. */
  | { readonly kind: "context" };

/**
 * What a parameter is in its model, given by the module that declares it. Learning rates, freezing, dtypes, resizing and
 * reports follow from it; names matter to files alone.
 *
 * A parameter without a role belongs to no tower: it trains with the settings of `other`, without weight decay, is
 * never frozen with a tower, stays f32, and is never resized.
 */
export interface ParameterRole {
  /** Undefined for what belongs to no tower, such as the logit scale. */
  readonly tower?: TowerName | undefined;
  /** Given together with `tower`. */
  readonly layer?: TowerLayer | undefined;
  /** Whether weight decay applies. Default false. */
  readonly decays?: boolean | undefined;
  /** Whether a model for inference may hold it in bf16: matrices and tables of embeddings. Default false. */
  readonly bf16?: boolean | undefined;
  /** Default: a stored tensor of another shape is an error. */
  readonly resize?: ResizeRule | undefined;
}

export const towerName = oneOf("image", "text");

const layer = z.union([oneOf("embedding", "input_norm", "final_norm", "head"), wholeNumber], {
  error: "embedding, input_norm, the number of a block, final_norm or head",
});
const resizeRule = z.discriminatedUnion(
  "kind",
  [
    options({ kind: z.literal("grid"), prefixTokens: wholeNumber, alignCorners: flag.optional() }),
    options({ kind: z.literal("patches") }),
    options({ kind: z.literal("context") }),
  ],
  { error: "a rule of kind grid, patches or context" },
);

export const roleArgument = options({
  tower: towerName.optional(),
  layer: layer.optional(),
  decays: flag.optional(),
  bf16: flag.optional(),
  resize: resizeRule.optional(),
}).refine(({ tower, layer }) => (tower === undefined) === (layer === undefined), {
  error: "a role with tower and layer, or with neither",
});
