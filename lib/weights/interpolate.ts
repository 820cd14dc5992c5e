/** The sharpness of the cubic kernel in PyTorch, with which published embeddings were resized. */
const SHARPNESS = -0.75;

/** The four source indices that one output index reads, and their weights. */
interface Taps {
  places: readonly number[];
  weights: readonly number[];
}

/** The cubic convolution kernel at distance t (Keys 1981). */
function cubic(t: number): number {
  const d = Math.abs(t);
  if (d <= 1) return (SHARPNESS + 2) * d ** 3 - (SHARPNESS + 3) * d ** 2 + 1;
  return d < 2 ? SHARPNESS * (d ** 3 - 5 * d ** 2 + 8 * d - 4) : 0;
}

function taps(from: number, to: number, alignCorners: boolean): Taps[] {
  const step = alignCorners ? (to > 1 ? (from - 1) / (to - 1) : 0) : from / to;
  return Array.from({ length: to }, (_, i) => {
    const center = alignCorners ? i * step : (i + 0.5) * step - 0.5;
    const first = Math.floor(center) - 1;
    const neighbors = [0, 1, 2, 3].map((k) => first + k);
    return {
      places: neighbors.map((place) => Math.min(Math.max(place, 0), from - 1)),
      weights: neighbors.map((place) => cubic(center - place)),
    };
  });
}

export interface ResizeOptions {
  /** Map the centers of the first and last pixels to each other, instead of the outer edges. Default false. */
  alignCorners?: boolean;
}

/**
 * Bicubic resizing of a square image, without antialiasing.
 * data [from, from, channels] → [to, to, channels]
 */
export function resizeGrid(
  data: Float32Array,
  from: number,
  to: number,
  { alignCorners = false }: ResizeOptions = {},
): Float32Array {
  const channels = data.length / (from * from);
  const lines = taps(from, to, alignCorners);
  const out = new Float32Array(to * to * channels);
  lines.forEach((row, y) => {
    lines.forEach((column, x) => {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        row.places.forEach((sourceY, i) => {
          column.places.forEach((sourceX, j) => {
            const weight = row.weights[i]! * column.weights[j]!;
            sum += weight * data[(sourceY * from + sourceX) * channels + c]!;
          });
        });
        out[(y * to + x) * channels + c] = sum;
      }
    });
  });
  return out;
}

/**
 * Position embeddings for a grid of another size; the rows of prefix tokens, such as the class token, are copied.
 * data [prefixTokens + from², width] → [prefixTokens + to², width]
 */
export function resizePositions(
  data: Float32Array,
  from: number,
  to: number,
  { prefixTokens = 1, ...options }: ResizeOptions & { prefixTokens?: number } = {},
): Float32Array {
  const width = data.length / (prefixTokens + from * from);
  const prefix = prefixTokens * width;
  const out = new Float32Array(prefix + to * to * width);
  out.set(data.subarray(0, prefix));
  out.set(resizeGrid(data.subarray(prefix), from, to, options), prefix);
  return out;
}

/** A patch projection for patches of another size. data [filters, from, from] → [filters, to, to] */
export function resizePatches(data: Float32Array, from: number, to: number): Float32Array {
  const filters = data.length / (from * from);
  const out = new Float32Array(filters * to * to);
  for (let f = 0; f < filters; f++) {
    out.set(resizeGrid(data.subarray(f * from * from, (f + 1) * from * from), from, to), f * to * to);
  }
  return out;
}
