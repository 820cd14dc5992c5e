import { checkArgument, ownArgument } from "../arguments";
import { CLIP_PREPROCESSING, type Preprocessing, preprocessConfig, resizedSide } from "./preprocessing";
import { type Box, type CropPlan, type CropPlanner, centerCrop, roundHalfToEven } from "./crop";
import { decodeHeldImage, type ImageInput, imageSize, normalizePixels } from "./decode";
import { type HeldImage, holdImage } from "./image_input";

const whole = (width: number, height: number) => ({ left: 0, top: 0, width, height });

/** Both sides resized to `size` (open_clip's `squash`). */
const squash: CropPlanner = (width, height, size) => ({
  before: whole(width, height),
  width: size,
  height: size,
  after: whole(size, size),
});

/** The longer side resized to `size`, without padding (open_clip's `longest`). */
const longest: CropPlanner = (width, height, size) => {
  const ratio = Math.max(width, height) / size;
  const [w, h] = [width, height].map((side) => Math.max(1, roundHalfToEven(side / ratio))) as [
    number,
    number,
  ];
  return { before: whole(width, height), width: w, height: h, after: whole(w, h) };
};

/** The center crop of an image whose shorter side is `size / cropShare`. */
function centerOfLarger(cropShare: number): CropPlanner {
  return (width, height, size) => {
    const plan = centerCrop(width, height, resizedSide(size, cropShare));
    const left = roundHalfToEven((plan.width - size) / 2);
    const top = roundHalfToEven((plan.height - size) / 2);
    return { ...plan, after: { left, top, width: size, height: size } };
  };
}

function plannerOf({ resize_mode, crop_pct }: Preprocessing): CropPlanner {
  if (resize_mode === "squash") return squash;
  if (resize_mode === "longest") return longest;
  return crop_pct === 1 ? centerCrop : centerOfLarger(crop_pct);
}

/** RGB [height, width, 3] centered in [size, size, 3], padded with one gray level. */
function padded(pixels: Uint8Array, { width, height }: Box, size: number, fill: number): Uint8Array {
  if (width === size && height === size) return pixels;
  const square = new Uint8Array(size * size * 3).fill(fill);
  const left = Math.floor((size - width) / 2);
  const top = Math.floor((size - height) / 2);
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width * 3, (y + 1) * width * 3);
    square.set(row, ((top + y) * size + left) * 3);
  }
  return square;
}

/** An image prepared for a model, and its own size. */
export interface PreparedImage {
  readonly pixels: Uint8Array; // RGB [size, size, 3]
  readonly width: number;
  readonly height: number;
}

/** `prepareImage` of an image checked by `holdImage`, with the size of that image. */
export async function prepareWithSize(
  image: HeldImage,
  size: number,
  preprocessing: Preprocessing,
): Promise<PreparedImage> {
  const planner = plannerOf(preprocessing);
  let seen: { plan: CropPlan; width: number; height: number } | undefined;
  const planned: CropPlanner = (width, height, side) => {
    const plan = planner(width, height, side);
    seen = { plan, width, height };
    return plan;
  };
  const pixels = await decodeHeldImage(image, size, planned, preprocessing.interpolation);
  const { plan, width, height } = seen!;
  return { pixels: padded(pixels, plan.after, size, preprocessing.fill_color), width, height };
}

/** `prepareImage` of an image checked by `holdImage`. */
export async function prepareHeldImage(
  image: HeldImage,
  size: number,
  preprocessing: Preprocessing,
): Promise<Uint8Array> {
  return (await prepareWithSize(image, size, preprocessing)).pixels;
}

/**
 * RGB [size, size, 3] of an image, resized by a model's preprocessing.
 * @throws SampleError as `decodeImage`
 */
export async function prepareImage(
  image: ImageInput,
  size: number,
  preprocessing: Preprocessing,
): Promise<Uint8Array> {
  return prepareHeldImage(holdImage("image", image), size, preprocessing);
}

/**
 * The evaluation transform of a model, by default CLIP's: shorter side to `size` (bicubic, antialiased), center crop, RGB,
 * normalized. → [3, size, size]
 * @param preprocessing the model's (`EvaClip.preprocessing`)
 * @throws EvaClipError as `decodeImage`
 */
export async function preprocess(
  image: ImageInput,
  size: number,
  preprocessing: Preprocessing = CLIP_PREPROCESSING,
): Promise<Float32Array> {
  checkArgument("preprocess: size", size, imageSize);
  const whole = ownArgument("preprocess: preprocessing", preprocessing, preprocessConfig);
  const held = holdImage("preprocess: image", image);
  return normalizePixels(await prepareHeldImage(held, size, whole), whole);
}
