import { z } from "zod";
import { checkArgument, options as optionsSchema, ownArgument, positiveInteger } from "../arguments";
import type { CounterRandom } from "../random";

/** A rectangle in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Crop the image to `before`, resize to `width` x `height`, then crop to `after`. */
export interface CropPlan {
  readonly before: Box;
  readonly width: number;
  readonly height: number;
  readonly after: Box;
}

/** Plans the crop and resize of an image of the given width and height to a square of `size` pixels. */
export type CropPlanner = (width: number, height: number, size: number) => CropPlan;

/** Python's round(): ties to even. The published center crop depends on it. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The evaluation transform: shorter side to `size`, then center crop (torchvision Resize and CenterCrop). */
export const centerCrop: CropPlanner = (width, height, size) => {
  for (const [name, value] of Object.entries({ width, height, size }))
    checkArgument(`centerCrop: ${name}`, value, positiveInteger);
  const shorter = Math.min(width, height);
  const resizedWidth = width === shorter ? size : Math.trunc((size * width) / height);
  const resizedHeight = height === shorter ? size : Math.trunc((size * height) / width);
  return {
    before: { left: 0, top: 0, width, height },
    width: resizedWidth,
    height: resizedHeight,
    after: {
      left: roundHalfToEven((resizedWidth - size) / 2),
      top: roundHalfToEven((resizedHeight - size) / 2),
      width: size,
      height: size,
    },
  };
};

/** Bounds of a random crop, each [least, greatest]. */
export interface RandomCropOptions {
  /** Crop area / image area. Default [0.9, 1]. */
  readonly scale?: readonly [number, number];
  /** Width / height. Default [3/4, 4/3]. */
  readonly ratio?: readonly [number, number];
}

const CROP_ATTEMPTS = 10;

const boundsOf = (most: number, error: string) =>
  z
    .tuple([z.number({ error }), z.number({ error })], { error })
    .refine(([least, greatest]) => least > 0 && least <= greatest && greatest <= most, { error });
const cropOptions = optionsSchema({
  scale: boundsOf(1, "[least, greatest] shares of the area, above 0 and at most 1").optional(),
  ratio: boundsOf(Number.MAX_VALUE, "[least, greatest] ratios of width to height, above 0").optional(),
});
const counterRandom = z.custom<CounterRandom>(
  (value) =>
    typeof (value as CounterRandom | null)?.uniform === "function" &&
    typeof (value as CounterRandom).below === "function",
  { error: "a CounterRandom" },
);

/** The crop of torchvision's RandomResizedCrop; after ten failed attempts the largest center crop of an allowed ratio. */
function randomBox(width: number, height: number, random: CounterRandom, options: RandomCropOptions): Box {
  const [leastRatio, greatestRatio] = options.ratio ?? [3 / 4, 4 / 3];
  const [leastScale, greatestScale] = options.scale ?? [0.9, 1];
  for (let attempt = 0; attempt < CROP_ATTEMPTS; attempt++) {
    const area = width * height * random.uniform(leastScale, greatestScale);
    const ratio = Math.exp(random.uniform(Math.log(leastRatio), Math.log(greatestRatio)));
    const boxWidth = roundHalfToEven(Math.sqrt(area * ratio));
    const boxHeight = roundHalfToEven(Math.sqrt(area / ratio));
    if (boxWidth < 1 || boxHeight < 1 || boxWidth > width || boxHeight > height) continue;
    const top = random.below(height - boxHeight + 1);
    const left = random.below(width - boxWidth + 1);
    return { left, top, width: boxWidth, height: boxHeight };
  }
  const ratio = Math.min(Math.max(width / height, leastRatio), greatestRatio);
  const boxWidth = Math.max(1, Math.min(width, roundHalfToEven(height * ratio)));
  const boxHeight = Math.max(1, Math.min(height, roundHalfToEven(width / ratio)));
  const left = Math.floor((width - boxWidth) / 2);
  const top = Math.floor((height - boxHeight) / 2);
  return { left, top, width: boxWidth, height: boxHeight };
}

/**
 * The training transform: a random crop resized to the square (torchvision RandomResizedCrop; EVA-CLIP's recipe takes
 * 90 to 100 % of the area at ratios from 3/4 to 4/3). The crop is a function of the draws of `random` alone.
 *
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT
 */
export function randomResizedCrop(random: CounterRandom, given: RandomCropOptions = {}): CropPlanner {
  checkArgument("randomResizedCrop: random", random, counterRandom);
  const options = ownArgument("randomResizedCrop: options", given, cropOptions);
  return (width, height, size) => ({
    before: randomBox(width, height, random, options),
    width: size,
    height: size,
    after: { left: 0, top: 0, width: size, height: size },
  });
}
