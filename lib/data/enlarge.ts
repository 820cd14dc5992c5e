/** The taps of one axis: output i is the weighted sum of `reach` inputs from `first[i]` on. */
interface Taps {
  readonly first: Int32Array; // [outputs]
  readonly weights: Float32Array; // [outputs, reach]
}

const REACH = 5;

/** The cubic convolution kernel with a = -0.5 (Keys 1981), which Pillow calls bicubic. */
function cubicWeight(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** Taps of outputs `offset` to `offset + count` of an axis enlarged from `from` to `to`; edges renormalise. */
function enlargingTaps(from: number, to: number, offset: number, count: number): Taps {
  const first = new Int32Array(count);
  const weights = new Float32Array(count * REACH);
  for (let i = 0; i < count; i++) {
    const centre = ((i + offset + 0.5) * from) / to;
    const begin = Math.max(0, Math.trunc(centre - 1.5));
    const end = Math.min(from, Math.trunc(centre + 2.5));
    let sum = 0;
    for (let tap = begin; tap < end; tap++) sum += cubicWeight(tap + 0.5 - centre);
    first[i] = begin;
    for (let tap = begin; tap < end; tap++) {
      weights[i * REACH + tap - begin] = cubicWeight(tap + 0.5 - centre) / sum;
    }
  }
  return { first, weights };
}

/**
 * Filters one axis. The pixels are seen as [outer, from, inner] and become [outer, outputs, inner], rounded to bytes
 * as Pillow does between its two passes.
 */
function filterAxis(pixels: Uint8Array, from: number, inner: number, { first, weights }: Taps): Uint8Array {
  const outputs = first.length;
  const outer = pixels.length / (from * inner);
  const filtered = new Uint8ClampedArray(outer * outputs * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < outputs; i++) {
      const reach = Math.min(REACH, from - first[i]!);
      const source = (o * from + first[i]!) * inner;
      const target = (o * outputs + i) * inner;
      for (let c = 0; c < inner; c++) {
        let sum = 0;
        for (let tap = 0; tap < reach; tap++)
          sum += weights[i * REACH + tap]! * pixels[source + tap * inner + c]!;
        filtered[target + c] = sum;
      }
    }
  }
  return new Uint8Array(filtered.buffer);
}

/** One axis of an enlargement: `from` pixels become `to`, of which `count` from `offset` on are wanted. */
export interface EnlargedAxis {
  readonly from: number;
  readonly to: number;
  readonly offset: number;
  readonly count: number;
}

/**
 * Bicubic enlargement as Pillow does it, of pixels [y.from, x.from, channels] to [y.count, x.count, channels]. libvips
 * places enlarged pixels up to half a source pixel elsewhere, which the published transform does not.
 */
export function enlarge(pixels: Uint8Array, channels: number, x: EnlargedAxis, y: EnlargedAxis): Uint8Array {
  const wide = filterAxis(pixels, x.from, channels, enlargingTaps(x.from, x.to, x.offset, x.count));
  return filterAxis(wide, y.from, x.count * channels, enlargingTaps(y.from, y.to, y.offset, y.count));
}
