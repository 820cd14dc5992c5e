import { z } from "zod";
import { withoutNulls } from "../../models/clip_config";
import { CLIP_PREPROCESSING, type Preprocessing } from "../../image/preprocessing";
import { invalidConfig } from "./config_fields";

export const PREPROCESSOR_FILE = "preprocessor_config.json";

const side = z.number().positive();
const square = z.union([side, z.object({ height: side, width: side })]);
const channels = z.array(z.number()).length(3);

/** transformers' preprocessor_config.json, with CLIP's values as defaults. */
const preprocessorConfig = z.object({
  image_processor_type: z.string().optional(),
  feature_extractor_type: z.string().optional(),
  do_resize: z.boolean().default(true),
  size: z.union([square, z.object({ shortest_edge: side })]).optional(),
  resample: z.number().default(3),
  do_center_crop: z.boolean().optional(),
  crop_size: square.optional(),
  do_rescale: z.boolean().default(true),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: channels.optional(),
  image_std: channels.optional(),
  do_pad: z.boolean().default(false),
});
type PreprocessorConfig = z.output<typeof preprocessorConfig>;

/** Pillow's numbers of the supported filters. */
const RESAMPLING = { 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming" } as const;

type Refuse = (field: string, expected: string, found: unknown) => never;

/** Both sides of a square. */
function sideOf(given: z.output<typeof square>, field: string, refuse: Refuse): number {
  if (typeof given === "number") return given;
  return given.height === given.width ? given.height : refuse(field, "a square", given);
}

function resizeOf(
  { size = CLIP_SIZE, crop_size: crop, do_center_crop }: PreprocessorConfig,
  isClip: boolean,
  refuse: Refuse,
): Pick<Preprocessing, "resize_mode" | "crop_pct"> {
  const crops = do_center_crop ?? isClip;
  const keepsRatio = typeof size === "number" || "shortest_edge" in size;
  const shorter =
    typeof size === "object" && "shortest_edge" in size ? size.shortest_edge : sideOf(size, "size", refuse);
  const cropped = crops && crop !== undefined ? sideOf(crop, "crop_size", refuse) : shorter;
  if (cropped > shorter) return refuse("crop_size", `at most size, ${shorter}`, cropped);
  if (keepsRatio && !crops) return refuse("do_center_crop", "true where size is the shortest edge", false);
  if (!keepsRatio && cropped !== shorter) return refuse("crop_size", `${shorter}, as size`, cropped);
  return { resize_mode: keepsRatio ? "shortest" : "squash", crop_pct: cropped / shorter };
}

const CLIP_SIZE = { shortest_edge: 224 };

/** Mean and standard deviation for pixels from 0 to 1; the file's are for pixels times a factor. */
function normalizationOf(
  { do_rescale, rescale_factor, do_normalize, image_mean, image_std }: PreprocessorConfig,
  isClip: boolean,
  refuse: Refuse,
): Pick<Preprocessing, "mean" | "std"> {
  const known = isClip ? CLIP_PREPROCESSING : undefined;
  const mean = do_normalize ? (image_mean ?? known?.mean) : [0, 0, 0];
  const std = do_normalize ? (image_std ?? known?.std) : [1, 1, 1];
  if (!mean) return refuse("image_mean", "three numbers", undefined);
  if (!std?.every((value) => value > 0)) return refuse("image_std", "three positive numbers", image_std);
  const scale = do_rescale ? rescale_factor * 255 : 255;
  if (Math.abs(scale - 1) < 1e-6) return { mean, std };
  return { mean: mean.map((value) => value / scale), std: std.map((value) => value / scale) };
}

/**
 * Reads transformers' preprocessor_config.json.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming the unsupported field
 */
export function fromPreprocessorConfig(json: unknown, path: string): Preprocessing {
  const refuse: Refuse = (field, expected, found) => {
    const message = `${path}: ${field} must be ${expected}, found ${JSON.stringify(found) ?? "nothing"}`;
    throw invalidConfig(message, { path, field, expected, found });
  };
  const parsed = preprocessorConfig.safeParse(withoutNulls(json));
  if (!parsed.success) {
    const { path: at, message } = parsed.error.issues[0]!;
    throw invalidConfig(`${path}: ${at.join(".")}: ${message}`, { path, field: at.join(".") });
  }
  const given = parsed.data;
  const type = given.image_processor_type ?? given.feature_extractor_type ?? "CLIP";
  const isClip = type.includes("CLIP");
  if (!given.do_resize) refuse("do_resize", "true", false);
  if (given.do_pad) refuse("do_pad", "false", true);
  const interpolation = RESAMPLING[given.resample as keyof typeof RESAMPLING];
  if (!interpolation) refuse("resample", "a filter of Pillow from 1 to 5", given.resample);
  return {
    ...normalizationOf(given, isClip, refuse),
    ...resizeOf(given, isClip, refuse),
    interpolation,
    fill_color: CLIP_PREPROCESSING.fill_color,
  };
}

/** A preprocessor_config.json for images of `size` × `size` pixels; undefined where transformers has no such resize mode. */
export function toPreprocessorConfig(preprocessing: Preprocessing, size: number): unknown {
  const { mean, std, interpolation, resize_mode, crop_pct } = preprocessing;
  if (resize_mode === "longest") return undefined;
  const square = { height: size, width: size };
  return {
    image_processor_type: "CLIPImageProcessor",
    do_convert_rgb: true,
    do_resize: true,
    size: resize_mode === "squash" ? square : { shortest_edge: Math.floor(size / crop_pct + 1e-6) },
    resample: Number(Object.entries(RESAMPLING).find(([, name]) => name === interpolation)![0]),
    do_center_crop: resize_mode === "shortest",
    crop_size: square,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: mean,
    image_std: std,
  };
}
