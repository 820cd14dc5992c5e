import { EvaClipError } from "../errors";
import type { PackedText } from "./batch";

/**
 * Packs captions of any length one after another and rounds the total up to a multiple of `bucket`, so that few
 * different lengths, and hence few compiled programs, occur.
 *
 * @param rows B captions as token ids, each of at least one token, without padding
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT for an empty row or a bucket that is not a positive integer
 */
export function packText(rows: ArrayLike<ArrayLike<number>>, bucket = 1): PackedText {
  if (!Number.isInteger(bucket) || bucket < 1) {
    throw invalid(`bucket must be a positive integer, found ${bucket}`, { bucket });
  }
  const size = rows.length;
  const cuSeqlens = new Int32Array(size + 1);
  const textEnds = new Int32Array(size);
  for (let b = 0; b < size; b++) {
    const length = rows[b]!.length;
    if (length === 0) throw invalid(`caption ${b} has no tokens, not even an end of text`, { caption: b });
    cuSeqlens[b + 1] = cuSeqlens[b]! + length;
    textEnds[b] = cuSeqlens[b + 1]! - 1;
  }
  const tokens = new Int32Array(Math.ceil(cuSeqlens[size]! / bucket) * bucket);
  for (let b = 0; b < size; b++) tokens.set(rows[b]!, cuSeqlens[b]!);
  return { tokens, cuSeqlens, textEnds };
}

/**
 * Packs padded token rows [B, contextLength]. A caption ends at the first largest id of its row, which is the end of
 * text: the rule of the published text tower.
 */
export function packPadded(tokens: Int32Array, contextLength: number, bucket = 1): PackedText {
  if (!Number.isInteger(contextLength) || contextLength < 1 || tokens.length % contextLength !== 0) {
    const message = `${tokens.length} tokens do not make rows of ${contextLength}`;
    throw invalid(message, { tokens: tokens.length, contextLength });
  }
  const rows: Int32Array[] = [];
  for (let start = 0; start < tokens.length; start += contextLength) {
    const row = tokens.subarray(start, start + contextLength);
    let end = 0;
    for (let i = 1; i < contextLength; i++) if (row[i]! > row[end]!) end = i;
    rows.push(row.subarray(0, end + 1));
  }
  return packText(rows, bucket);
}

function invalid(message: string, details: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, details);
}
