import { z } from "zod";

/** Far above any model, and small enough that products of three are exact. */
const LARGEST_SIZE = 1_000_000;
const MOST_LAYERS = 1000;

/** Fields that the configurations of several towers have. */
export const size = z.number().int().positive().max(LARGEST_SIZE);
export const layers = size.max(MOST_LAYERS).default(12);
export const mlpRatioField = z.number().positive().max(1000).default(4);
export const rate = z.number().min(0).lt(1);
/** Selects a fused kernel in the reference code, and changes no result. */
export const ignored = z.boolean().optional();

/** The fields of every vision transformer. */
export const visionTransformerFields = {
  image_size: size.default(224),
  layers,
  width: size.default(768),
  head_width: size.default(64),
  mlp_ratio: mlpRatioField,
  patch_size: size.default(16),
  /** The fraction of patches dropped in training. */
  patch_dropout: rate.default(0),
  xattn: ignored,
  fusedLN: ignored,
};

type VisionTransformerSizes = Record<"image_size" | "patch_size" | "width" | "head_width", number>;

/** Reports patches that do not tile the image and heads that do not divide the width. */
export function checkSizes(config: VisionTransformerSizes, context: z.RefinementCtx): void {
  const { image_size, patch_size, width, head_width } = config;
  const problem = (field: string, message: string, input: unknown) =>
    context.addIssue({ code: "custom", path: [field], message, input });
  if (image_size % patch_size !== 0)
    problem("image_size", `must be a multiple of patch_size ${patch_size}`, image_size);
  if (width % head_width !== 0) problem("width", `must be a multiple of head_width ${head_width}`, width);
}
