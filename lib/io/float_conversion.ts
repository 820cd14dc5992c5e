import { setImmediate } from "node:timers/promises";
import type { TensorArray } from "./safetensors";

/** Elements converted before the event loop gets its turn. */
const CHUNK = 1 << 20;

/** Of IEEE half precision: subnormals and the rest by exponent and fraction. */
function floatFromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Values of a stored tensor in 32 bits: F32 as they are, BF16 and F16 converted, a part at a time. */
export async function toFloat32(data: TensorArray, dtype: "F32" | "BF16" | "F16"): Promise<Float32Array> {
  if (dtype === "F32") return data as Float32Array;
  const words = data as Uint16Array;
  const floats = new Float32Array(words.length);
  const bits = new Uint32Array(floats.buffer);
  for (let start = 0; start < words.length; start += CHUNK) {
    const end = Math.min(words.length, start + CHUNK);
    if (dtype === "BF16") for (let i = start; i < end; i++) bits[i] = words[i]! << 16;
    else for (let i = start; i < end; i++) floats[i] = floatFromHalf(words[i]!);
    if (end < words.length) await setImmediate();
  }
  return floats;
}

/** The 16-bit patterns nearest to 32-bit values, ties to even; not-a-number stays one. */
export async function toBfloat16(floats: Float32Array): Promise<Uint16Array> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const words = new Uint16Array(floats.length);
  for (let start = 0; start < words.length; start += CHUNK) {
    const end = Math.min(words.length, start + CHUNK);
    for (let i = start; i < end; i++) {
      const word = bits[i]!;
      const isNan = (word & 0x7fffffff) > 0x7f800000;
      words[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
    }
    if (end < words.length) await setImmediate();
  }
  return words;
}
