import { inTurns } from "../../image/turns";

/** A multiple of four digits, which are three bytes. */
const DIGITS_PER_SLICE = 2 ** 18;

/**
 * The bytes of base64 text, also of its URL-safe alphabet and with line breaks; undefined if it is anything else. The event
 * loop turns in between.
 */
export async function fromBase64(text: string): Promise<Buffer | undefined> {
  const digits = text.endsWith("=") ? text.replace(/={1,2}$/, "") : text;
  const bytes = Buffer.allocUnsafe(Math.floor((digits.length * 3) / 4));
  let written = 0;
  await inTurns(Math.ceil(digits.length / DIGITS_PER_SLICE), 1, (slice) => {
    const part = digits.slice(slice * DIGITS_PER_SLICE, (slice + 1) * DIGITS_PER_SLICE);
    written += bytes.write(part, written, "base64");
  });
  // Node's decoder skips what is not a digit.
  if (written === bytes.length && digits.length % 4 !== 1) return bytes;
  return /\s/.test(digits) ? fromBase64(text.replace(/\s+/g, "")) : undefined;
}
