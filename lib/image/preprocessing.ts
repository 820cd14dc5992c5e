import { z } from "zod";
import { clipPixels } from "../ops/patch_embed";

const channels = z.array(z.number()).length(3);

/** open_clip's `preprocess_cfg`, with timm's `crop_pct`. Its `size` is the model's, which decides. */
export const preprocessConfig = z
  .strictObject({
    size: z.union([z.number(), z.tuple([z.number(), z.number()])]).optional(),
    mode: z.literal("RGB").default("RGB"),
    mean: channels.default([...clipPixels.mean]),
    std: z
      .array(z.number().positive())
      .length(3)
      .default([...clipPixels.std]),
    interpolation: z.enum(["bicubic", "bilinear"]).default("bicubic"),
    resize_mode: z.enum(["shortest", "squash", "longest"]).default("shortest"),
    fill_color: z.int().min(0).max(255).default(0),
    /** The side of the centre crop over the shorter side it is cut from. */
    crop_pct: z.number().positive().max(1).default(1),
  })
  .refine(({ size }) => !Array.isArray(size) || size[0] === size[1], {
    path: ["size"],
    error: "expected a square",
  })
  .refine(({ resize_mode, crop_pct }) => resize_mode === "shortest" || crop_pct === 1, {
    path: ["crop_pct"],
    error: "expected 1 where resize_mode is not shortest",
  })
  .transform(({ size, mode, ...rest }) => rest);

/** How an image becomes the input of a model: how it is resized to a square, and how its pixels are normalised. */
export interface Preprocessing {
  /** Of red, green and blue, in units of the full range. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly interpolation: "bicubic" | "bilinear";
  /** The shorter side is resized to the square's and the centre is cut out; or both sides are; or the longer is, and the rest filled. */
  readonly resize_mode: "shortest" | "squash" | "longest";
  /** The grey level, 0 to 255, of what `longest` fills. */
  readonly fill_color: number;
  /** The side of the centre crop over the shorter side it is cut from. */
  readonly crop_pct: number;
}

/** What CLIP is trained with (Radford et al. 2021). */
export const CLIP_PREPROCESSING: Preprocessing = Object.freeze({
  ...preprocessConfig.parse({}),
  mean: Object.freeze([...clipPixels.mean]),
  std: Object.freeze([...clipPixels.std]),
});

export function samePreprocessing(a: Preprocessing, b: Preprocessing): boolean {
  const fields = Object.keys(CLIP_PREPROCESSING) as (keyof Preprocessing)[];
  return fields.every((field) => JSON.stringify(a[field]) === JSON.stringify(b[field]));
}

/** Whether a tower sees the same numbers for the same pixels; how images are cropped is up to the data. */
export function sameNormalization(a: Preprocessing, b: Preprocessing): boolean {
  return JSON.stringify([a.mean, a.std]) === JSON.stringify([b.mean, b.std]);
}

/** The field of a model's configuration; left out where it is CLIP's. */
export const preprocessField = preprocessConfig
  .optional()
  .transform((given) => (given && samePreprocessing(given, CLIP_PREPROCESSING) ? undefined : given));

/** What a model's images go through. */
export function preprocessingOf({
  preprocess_cfg,
}: {
  preprocess_cfg?: Preprocessing | undefined;
}): Preprocessing {
  return preprocess_cfg ?? CLIP_PREPROCESSING;
}

/** In the words of a protocol: "shorter side resized to 224 (bicubic, antialiased) and centre-cropped". */
export function describePreprocessing(preprocessing: Preprocessing, size: number): string {
  const { interpolation, resize_mode, fill_color, crop_pct } = preprocessing;
  const how = `(${interpolation}, antialiased)`;
  if (resize_mode === "squash") return `both sides resized to ${size} ${how}`;
  if (resize_mode === "longest")
    return `longer side resized to ${size} ${how}, the rest filled with ${fill_color}`;
  return `shorter side resized to ${resizedSide(size, crop_pct)} ${how} and centre-cropped${crop_pct === 1 ? "" : ` to ${size}`}`;
}

/** The shorter side that a centre crop of `size` pixels is cut from. */
export function resizedSide(size: number, cropShare: number): number {
  return Math.floor(size / cropShare + 1e-6);
}
