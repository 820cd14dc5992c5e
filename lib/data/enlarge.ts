const TAPS = 4;

/** Output i of an axis is the sum over t of weights[4 i + t] times input inputs[4 i + t]. */
interface AxisTaps {
  readonly inputs: Int32Array; // [outputs, 4], inside the image; a tap beyond its edge weighs 0
  readonly weights: Float32Array; // [outputs, 4]
}

/** The cubic convolution kernel with a = -0.5 (Keys 1981), which Pillow calls bicubic. */
function cubicWeight(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** Taps of outputs `offset` to `offset` + `count` of an axis; at the edges the weights left are scaled to sum to 1. */
function enlargingTaps({ from, to, offset, count }: EnlargedAxis): AxisTaps {
  const inputs = new Int32Array(count * TAPS);
  const weights = new Float32Array(count * TAPS);
  for (let i = 0; i < count; i++) {
    const centre = ((i + offset + 0.5) * from) / to;
    const begin = Math.max(0, Math.trunc(centre - 1.5));
    const end = Math.min(from, Math.trunc(centre + 2.5));
    let sum = 0;
    for (let tap = begin; tap < end; tap++) sum += cubicWeight(tap + 0.5 - centre);
    for (let tap = begin; tap < begin + TAPS; tap++) {
      inputs[i * TAPS + tap - begin] = Math.min(tap, from - 1);
      weights[i * TAPS + tap - begin] = tap < end ? cubicWeight(tap + 0.5 - centre) / sum : 0;
    }
  }
  return { inputs, weights };
}

/**
 * Filters one axis. The pixels are seen as [outer, from, inner] and become [outer, outputs, inner], rounded to bytes
 * as Pillow does between its two passes.
 */
function filterAxis(
  pixels: Uint8Array,
  from: number,
  inner: number,
  { inputs, weights }: AxisTaps,
): Uint8Array {
  const outputs = inputs.length / TAPS;
  const outer = pixels.length / (from * inner);
  const filtered = new Uint8ClampedArray(outer * outputs * inner);
  let target = 0;
  for (let o = 0; o < outer; o++) {
    for (let tap = 0; tap < inputs.length; tap += TAPS) {
      const [w0, w1, w2, w3] = [weights[tap]!, weights[tap + 1]!, weights[tap + 2]!, weights[tap + 3]!];
      const in0 = (o * from + inputs[tap]!) * inner;
      const in1 = (o * from + inputs[tap + 1]!) * inner;
      const in2 = (o * from + inputs[tap + 2]!) * inner;
      const in3 = (o * from + inputs[tap + 3]!) * inner;
      for (let c = 0; c < inner; c++) {
        filtered[target++] =
          w0 * pixels[in0 + c]! + w1 * pixels[in1 + c]! + w2 * pixels[in2 + c]! + w3 * pixels[in3 + c]!;
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
  const wide = filterAxis(pixels, x.from, channels, enlargingTaps(x));
  return filterAxis(wide, y.from, x.count * channels, enlargingTaps(y));
}
