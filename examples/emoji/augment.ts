import type { CounterRandom } from "eva-clip/data";

/**
 * The inputs of `affine_sample` that turn B drawings into images, one entry per drawing:
 * output pixel = color · (premultiplied drawing at `transform` · pixel) + background · (1 - alpha).
 */
export interface Augmentation {
  /** f32 [B, 2, 3]: output → input coordinates, both in [-1, 1] across the image (torch `affine_grid`, corners not aligned). */
  transform: Float32Array;
  /** f32 [B, 3], in 0..1. */
  background: Float32Array;
  /** f32 [B, 3, 4]: a linear map of premultiplied red, green, blue and alpha. */
  color: Float32Array;
}

/** CLIP's mean color: after normalization an empty patch is zero, instead of a large component common to all images. */
export const BACKGROUND = [0.48145466, 0.4578275, 0.40821073] as const;

/** Ranges at strength 1. */
const ROTATION = (15 * Math.PI) / 180;
const STRETCH = 0.12;
const SHIFT = 0.14;
const CHANNEL_GAIN = 0.15;
const GAIN = 0.2;
const GRAY_PROBABILITY = 0.12;
/** Zoom is uniform in 1 + [-0.3, 0.15] · strength. */
const ZOOM = { lowest: -0.3, range: 0.45 };

/** Unchanged drawings on the mean color. */
export function plainView(batch: number): Augmentation {
  const views = emptyAugmentation(batch);
  for (let b = 0; b < batch; b++) {
    views.transform.set([1, 0, 0, 0, 1, 0], b * 6);
    views.background.set(BACKGROUND, b * 3);
    views.color.set([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], b * 12);
  }
  return views;
}

export function emptyAugmentation(batch: number): Augmentation {
  return {
    transform: new Float32Array(batch * 6),
    background: new Float32Array(batch * 3),
    color: new Float32Array(batch * 12),
  };
}

/**
 * Samples entry `b` of `views`: rotation, zoom, stretch, shift, color gains and sometimes gray or a random background.
 * Never a flip, which would turn arrows and letters into other concepts.
 *
 * @param strength 0 (only the background varies) to 1
 * @param backgrounds probability of a random background color
 */
export function drawAugmentation(
  views: Augmentation,
  b: number,
  random: CounterRandom,
  strength: number,
  backgrounds: number,
): void {
  views.transform.set(drawTransform(random, strength), b * 6);
  const background =
    random.uniform() < backgrounds ? [random.uniform(), random.uniform(), random.uniform()] : BACKGROUND;
  views.background.set(background, b * 3);
  views.color.set(drawColor(random, strength), b * 12);
}

function drawTransform(random: CounterRandom, strength: number): number[] {
  const angle = random.uniform(-1, 1) * ROTATION * strength;
  const zoom = 1 + (random.uniform() * ZOOM.range + ZOOM.lowest) * strength;
  const scaleX = (1 + random.uniform(-1, 1) * STRETCH * strength) / zoom;
  const scaleY = 1 / (1 + random.uniform(-1, 1) * STRETCH * strength) / zoom;
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const shiftX = random.uniform(-1, 1) * SHIFT * strength;
  const shiftY = random.uniform(-1, 1) * SHIFT * strength;
  return [cosine * scaleX, -sine * scaleX, shiftX, sine * scaleY, cosine * scaleY, shiftY];
}

function drawColor(random: CounterRandom, strength: number): number[] {
  const gain = 1 + random.uniform(-1, 1) * GAIN * strength;
  const gains = [0, 1, 2].map(() => gain * (1 + random.uniform(-1, 1) * CHANNEL_GAIN * strength));
  const gray = random.uniform() < GRAY_PROBABILITY * strength;
  return [0, 1, 2].flatMap((output) => [
    ...gains.map((value, input) => (gray ? value / 3 : input === output ? value : 0)),
    0,
  ]);
}
