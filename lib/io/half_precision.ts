import { setImmediate } from "node:timers/promises";

/** Elements converted before the event loop gets its turn. */
const CHUNK = 1 << 20;

/** The least magnitude that rounds to infinity: 65504 and half of its last place, as bits. */
const OVERFLOW_BITS = 0x477ff000;
/** 2⁻¹⁴, the least normal half, as bits. */
const NORMAL_BITS = 0x38800000;
/** From an exponent with bias 127 to one with bias 15. */
const BIAS_DIFFERENCE = 112 << 23;
/** Adding this to a magnitude below 2⁻¹⁴ leaves its place among subnormal halves in the last bits, rounded. */
const SUBNORMAL_SHIFT = 0.5;
const SUBNORMAL_SHIFT_BITS = 0x3f000000;

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The IEEE half nearest to a number given by its 32 bits, ties to even; not-a-number stays one. */
function halfFromBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= OVERFLOW_BITS) return sign | 0x7c00;
  if (magnitude < NORMAL_BITS) {
    word[0] = magnitude;
    float[0] = float[0]! + SUBNORMAL_SHIFT;
    return sign | (word[0]! - SUBNORMAL_SHIFT_BITS);
  }
  const isOdd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - BIAS_DIFFERENCE + 0xfff + isOdd) >>> 13);
}

/** The bfloat16 nearest to a number given by its 32 bits, ties to even; not-a-number stays one. */
function bfloatFromBits(bits: number): number {
  const isNan = (bits & 0x7fffffff) > 0x7f800000;
  return isNan ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Applies `convert` to the bits of every element, a part at a time. */
async function convertBits<T extends Uint16Array | Uint32Array>(
  from: Uint16Array | Uint32Array,
  to: T,
  convert: (bits: number) => number,
): Promise<T> {
  for (let start = 0; start < to.length; start += CHUNK) {
    const end = Math.min(to.length, start + CHUNK);
    for (let i = start; i < end; i++) to[i] = convert(from[i]!);
    if (end < to.length) await setImmediate();
  }
  return to;
}

const bitsOf = (floats: Float32Array) => new Uint32Array(floats.buffer, floats.byteOffset, floats.length);

/** The IEEE half-precision patterns nearest to 32-bit values. */
export async function toFloat16(floats: Float32Array): Promise<Uint16Array> {
  return convertBits(bitsOf(floats), new Uint16Array(floats.length), halfFromBits);
}

/** The bfloat16 patterns nearest to 32-bit values. */
export async function toBfloat16(floats: Float32Array): Promise<Uint16Array> {
  return convertBits(bitsOf(floats), new Uint16Array(floats.length), bfloatFromBits);
}

/** The values of bfloat16 patterns. */
export async function fromBfloat16(words: Uint16Array): Promise<Float32Array> {
  const floats = new Float32Array(words.length);
  await convertBits(words, bitsOf(floats), (bits) => bits << 16);
  return floats;
}
