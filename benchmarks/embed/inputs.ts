import { CounterRandom } from "../../lib/random";
import { CLIP_PREPROCESSING } from "../../lib/image/preprocessing";

export type Tower = "image" | "text";

export const MODEL = "EVA02-CLIP-B-16";
export const IMAGE_SIZE = 224;
export const CONTEXT_LENGTH = 77;

const SUBJECTS = ["a cat", "two dogs", "an old bridge", "the night sky", "a bowl of fruit", "red shoes"];
const PLACES = ["in a garden", "on a wooden table", "near the sea", "at sunset", "under a tree"];

/** Captions of 9 to 13 tokens, start and end included. */
export function captions(count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `a photo of ${SUBJECTS[i % SUBJECTS.length]} ${PLACES[i % PLACES.length]}`,
  );
}

/** u8 [count, S, S, 3] */
export function pixels(count: number): Uint8Array {
  const random = new CounterRandom(3);
  return Uint8Array.from({ length: count * IMAGE_SIZE ** 2 * 3 }, () => random.below(256));
}

/** u8 [count, S, S, 3] → normalized f32 [count, 3, S, S] */
export function normalized(images: Uint8Array): Float32Array {
  const area = IMAGE_SIZE ** 2;
  const { mean, std } = CLIP_PREPROCESSING;
  const values = new Float32Array(images.length);
  for (let at = 0; at < images.length; at++) {
    const [image, channel, place] = [Math.floor(at / (3 * area)), at % 3, Math.floor(at / 3) % area];
    values[(3 * image + channel) * area + place] = (images[at]! / 255 - mean[channel]!) / std[channel]!;
  }
  return values;
}
