import { inTurns } from "./turns";

const TAPS = 4;
/** Takes a fraction of a millisecond, or a few milliseconds before V8 has optimized the code. */
const VALUES_PER_SLICE = 32_768;

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

/** The triangle kernel, which Pillow calls bilinear. */
function linearWeight(distance: number): number {
  return Math.max(0, 1 - Math.abs(distance));
}

/** Kernels with their radius in source pixels. */
const KERNELS = {
  bicubic: { weight: cubicWeight, support: 2 },
  bilinear: { weight: linearWeight, support: 1 },
} as const;

export type Interpolation = keyof typeof KERNELS;

/** Taps of outputs `offset` to `offset` + `count` of an axis; at the edges the remaining weights are scaled to sum to 1. */
function enlargingTaps({ from, to, offset, count }: EnlargedAxis, interpolation: Interpolation): AxisTaps {
  const { weight, support } = KERNELS[interpolation];
  const inputs = new Int32Array(count * TAPS);
  const weights = new Float32Array(count * TAPS);
  for (let i = 0; i < count; i++) {
    const center = ((i + offset + 0.5) * from) / to;
    const begin = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let tap = begin; tap < end; tap++) sum += weight(tap + 0.5 - center);
    for (let tap = begin; tap < begin + TAPS; tap++) {
      inputs[i * TAPS + tap - begin] = Math.min(tap, from - 1);
      weights[i * TAPS + tap - begin] = tap < end ? weight(tap + 0.5 - center) / sum : 0;
    }
  }
  return { inputs, weights };
}

/** Pixels [outer, from, inner] → [outer, outputs, inner]; a line is one output of one outer index. */
interface AxisPass {
  readonly pixels: Uint8Array;
  readonly from: number;
  readonly inner: number;
  readonly taps: AxisTaps;
  readonly filtered: Uint8ClampedArray;
}

function filterLines({ pixels, from, inner, taps, filtered }: AxisPass, begin: number, end: number): void {
  const { inputs, weights } = taps;
  const outputs = inputs.length / TAPS;
  let target = begin * inner;
  for (let line = begin; line < end; line++) {
    const tap = (line % outputs) * TAPS;
    const outer = Math.floor(line / outputs) * from;
    const [w0, w1, w2, w3] = [weights[tap]!, weights[tap + 1]!, weights[tap + 2]!, weights[tap + 3]!];
    const in0 = (outer + inputs[tap]!) * inner;
    const in1 = (outer + inputs[tap + 1]!) * inner;
    const in2 = (outer + inputs[tap + 2]!) * inner;
    const in3 = (outer + inputs[tap + 3]!) * inner;
    for (let c = 0; c < inner; c++) {
      filtered[target++] =
        w0 * pixels[in0 + c]! + w1 * pixels[in1 + c]! + w2 * pixels[in2 + c]! + w3 * pixels[in3 + c]!;
    }
  }
}

/** Filters one axis, rounded to bytes as Pillow does between its passes, in slices between which the event loop turns. */
async function filterAxis(
  pixels: Uint8Array,
  inner: number,
  axis: EnlargedAxis,
  interpolation: Interpolation,
): Promise<Uint8Array> {
  const lines = (pixels.length / (axis.from * inner)) * axis.count;
  const filtered = new Uint8ClampedArray(lines * inner);
  const pass = { pixels, from: axis.from, inner, taps: enlargingTaps(axis, interpolation), filtered };
  await inTurns(lines, Math.ceil(VALUES_PER_SLICE / inner), (begin, end) => filterLines(pass, begin, end));
  return new Uint8Array(filtered.buffer);
}

/** One axis of an enlargement: `from` pixels become `to`, of which `count` from `offset` on are computed. */
export interface EnlargedAxis {
  readonly from: number;
  readonly to: number;
  readonly offset: number;
  readonly count: number;
}

/**
 * Pillow's enlargement of pixels [y.from, x.from, channels] to [y.count, x.count, channels]. libvips shifts enlarged
 * pixels by up to half a source pixel.
 */
export async function enlarge(
  pixels: Uint8Array,
  channels: number,
  x: EnlargedAxis,
  y: EnlargedAxis,
  interpolation: Interpolation = "bicubic",
): Promise<Uint8Array> {
  const columns = await filterAxis(pixels, channels, x, interpolation);
  return filterAxis(columns, x.count * channels, y, interpolation);
}
