import { inTurns } from "../image/turns";

/** Bytes copied before the event loop may turn: the first write to new memory takes longer than the copy. */
const BYTES_PER_SLICE = 2 ** 16;

/** Parts one after another, as `Buffer.concat`; the event loop turns in between. */
export async function joined(parts: readonly Uint8Array[]): Promise<Uint8Array> {
  if (parts.length === 1) return parts[0]!;
  const whole = Buffer.allocUnsafeSlow(parts.reduce((bytes, part) => bytes + part.byteLength, 0));
  let written = 0;
  for (const part of parts) {
    await inTurns(part.byteLength, BYTES_PER_SLICE, (begin, end) => {
      whole.set(part.subarray(begin, end), written);
      written += end - begin;
    });
  }
  return whole;
}
