import { z } from "zod";
import { clipPixels } from "../ops/patch_embed";
import { INTERPOLATIONS, type Interpolation } from "./resample";

const channels = z.array(z.number()).length(3);

/** open_clip's `preprocess_cfg`, with timm's `crop_pct`. Its `size` is ignored in favor of the model's. */
export const preprocessConfig = z
  .strictObject({
    size: z.union([z.number(), z.tuple([z.number(), z.number()])]).optional(),
    mode: z.literal("RGB").default("RGB"),
    mean: channels.default([...clipPixels.mean]),
    std: z
      .array(z.number().positive())
      .length(3)
      .default([...clipPixels.std]),
    interpolation: z.enum(INTERPOLATIONS).default("bicubic"),
    resize_mode: z.enum(["shortest", "squash", "longest"]).default("shortest"),
    fill_color: z.int().min(0).max(255).default(0),
    /** Side of the center crop / shorter side of the resized image. */
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

/** Preprocessing of images for a model: resized to a square, then normalized. */
export interface Preprocessing {
  /** Mean of red, green and blue, from 0 to 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly interpolation: Interpolation;
  /** `shortest`: shorter side resized, center crop. `squash`: both sides resized. `longest`: longer side resized, padded. */
  readonly resize_mode: "shortest" | "squash" | "longest";
  /** Gray level of the padding of `longest`, from 0 to 255. */
  readonly fill_color: number;
  /** Side of the center crop / shorter side of the resized image. */
  readonly crop_pct: number;
}

/** CLIP's (Radford et al. 2021). */
export const CLIP_PREPROCESSING: Preprocessing = Object.freeze({
  ...preprocessConfig.parse({}),
  mean: Object.freeze([...clipPixels.mean]),
  std: Object.freeze([...clipPixels.std]),
});

export function samePreprocessing(a: Preprocessing, b: Preprocessing): boolean {
  const fields = Object.keys(CLIP_PREPROCESSING) as (keyof Preprocessing)[];
  return fields.every((field) => JSON.stringify(a[field]) === JSON.stringify(b[field]));
}

/** Whether the same pixels are normalized to the same numbers, however images are cropped. */
export function sameNormalization(a: Preprocessing, b: Preprocessing): boolean {
  return JSON.stringify([a.mean, a.std]) === JSON.stringify([b.mean, b.std]);
}

/** The field of a model's configuration, undefined for CLIP's preprocessing. */
export const preprocessField = preprocessConfig
  .optional()
  .transform((given) => (given && samePreprocessing(given, CLIP_PREPROCESSING) ? undefined : given));

/** The preprocessing of a model's images. */
export function preprocessingOf({
  preprocess_cfg,
}: {
  preprocess_cfg?: Preprocessing | undefined;
}): Preprocessing {
  return preprocess_cfg ?? CLIP_PREPROCESSING;
}

/** For a protocol: "shorter side resized to 224 (bicubic, antialiased) and center-cropped". */
export function describePreprocessing(preprocessing: Preprocessing, size: number): string {
  const { interpolation, resize_mode, fill_color, crop_pct } = preprocessing;
  const how = `(${interpolation}, antialiased)`;
  if (resize_mode === "squash") return `both sides resized to ${size} ${how}`;
  if (resize_mode === "longest") return `longer side resized to ${size} ${how}, padded with ${fill_color}`;
  return `shorter side resized to ${resizedSide(size, crop_pct)} ${how} and center-cropped${crop_pct === 1 ? "" : ` to ${size}`}`;
}

/** Shorter side of the image before a center crop of `size` pixels. */
export function resizedSide(size: number, cropShare: number): number {
  return Math.floor(size / cropShare + 1e-6);
}
