import { EvaClipError } from "../errors";
import { type NativeStoredDtype, native } from "../native";

/** The bits of +infinity. */
const INFINITY_BITS = { F16: 0x7c00, BF16: 0x7f80 } as const;
const SIGN = 0x8000;

/** The array of each type; 16-bit types are bit patterns. */
const ELEMENTS = { F64: Float64Array, F32: Float32Array, F16: Uint16Array, BF16: Uint16Array } as const;

/** A copy, because bytes of a file may be unaligned. */
function elementsOf(bytes: Uint8Array, type: NativeStoredDtype) {
  return new ELEMENTS[type](Uint8Array.from(bytes).buffer);
}

function valueAt(bytes: Uint8Array, type: NativeStoredDtype, index: number): number {
  const width = ELEMENTS[type].BYTES_PER_ELEMENT;
  const element = bytes.subarray(index * width, (index + 1) * width);
  if (type === "F64" || type === "F32") return elementsOf(element, type)[0]!;
  const wide = new Float32Array(1);
  native().convertElements(element, type, wide, "F32");
  return wide[0]!;
}

/** The index of the first infinity from `begin` on, or -1. */
function firstInfinity(values: ArrayLike<number>, type: NativeStoredDtype, begin: number): number {
  const infinity = type === "F16" || type === "BF16" ? INFINITY_BITS[type] : Number.POSITIVE_INFINITY;
  const isBits = infinity !== Number.POSITIVE_INFINITY;
  for (let i = begin; i < values.length; i++) {
    const magnitude = isBits ? values[i]! & ~SIGN : Math.abs(values[i]!);
    if (magnitude === infinity) return i;
  }
  return -1;
}

/**
 * Converts the elements of `bytes` to another type, rounding to nearest, ties to even. Infinity and NaN are kept.
 * @param name names the elements in the error
 * @param first the index of the first element, for the error
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` for a finite value that overflows the type
 */
export function convertElements(
  name: string,
  bytes: Uint8Array,
  from: NativeStoredDtype,
  to: NativeStoredDtype,
  first = 0,
): Float64Array | Float32Array | Uint16Array {
  const converted = new ELEMENTS[to](bytes.length / ELEMENTS[from].BYTES_PER_ELEMENT);
  native().convertElements(bytes, from, converted, to);
  for (let at = firstInfinity(converted, to, 0); at >= 0; at = firstInfinity(converted, to, at + 1)) {
    const value = valueAt(bytes, from, at);
    if (!Number.isFinite(value)) continue;
    const index = first + at;
    const advice = `use a wider type, ${to === "F16" ? "f32 or bf16" : "f32"}`;
    const message = `${name}: the value ${value} at index ${index} would be infinite as ${to}: ${advice}`;
    throw new EvaClipError("ERR_EVACLIP_NOT_FINITE", message, { index, value, type: to });
  }
  return converted;
}
