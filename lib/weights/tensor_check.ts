import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";

/** Elements looked at before the event loop gets its turn. */
const CHUNK = 1 << 21;

/** The place of the first value that is not finite in f32, or in bf16 as 16-bit patterns; -1 where all are. */
function firstNonFinite(values: Float32Array | Uint16Array): number {
  const isF32 = values instanceof Float32Array;
  for (let i = 0; i < values.length; i++) {
    if (isF32 ? !Number.isFinite(values[i]) : (values[i]! & 0x7f80) === 0x7f80) return i;
  }
  return -1;
}

/** A tensor's CRC-32, and the place of its first value that is not finite, or -1. */
export async function inspectTensor(
  values: Float32Array | Uint16Array,
): Promise<{ crc: number; nonFinite: number }> {
  let crc = 0;
  for (let start = 0; start < values.length; start += CHUNK) {
    if (start > 0) await setImmediate();
    const some = values.subarray(start, start + CHUNK);
    const place = firstNonFinite(some);
    if (place >= 0) return { crc: 0, nonFinite: start + place };
    crc = crc32(some, crc);
  }
  return { crc, nonFinite: -1 };
}

/** One number for many tensors, of their CRC-32s in order. */
export function combineCrcs(crcs: readonly number[]): number {
  return crc32(Uint32Array.from(crcs));
}
