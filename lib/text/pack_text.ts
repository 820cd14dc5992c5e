import { z } from "zod";
import { checkArgument, invalidArgument, positiveInteger } from "../arguments";
import { holds } from "../host_tensor";
import { LARGEST_TEXT_BUCKET } from "./limits";

/** Captions of any lengths, concatenated: cheaper than padded rows and, under causal attention, equivalent. */
export interface PackedText {
  /** [T] token ids, start and end of text included, then zeros up to a multiple of the bucket. */
  readonly tokens: Int32Array;
  /** [B + 1] start of each caption; the last entry is the number of real tokens. */
  readonly cuSeqlens: Int32Array;
  /** [B] position of each caption's end of text. */
  readonly textEnds: Int32Array;
}

const bucketSchema = positiveInteger.max(LARGEST_TEXT_BUCKET);
const LARGEST_ID = 2 ** 31 - 1;

export function isTokenRow(row: unknown): row is ArrayLike<number> {
  if (!Array.isArray(row) && !(ArrayBuffer.isView(row) && "length" in row)) return false;
  const ids = row as ArrayLike<unknown>;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > LARGEST_ID) return false;
  }
  return ids.length > 0;
}

const int32Array = z.custom<Int32Array>((value) => holds("i32", value), { error: "an Int32Array" });
const tokenRows = z.array(
  z.custom<ArrayLike<number>>(isTokenRow, { error: "a list of token ids, of at least one" }),
  { error: "a list of lists of token ids" },
);

const LARGEST_USUAL_BUCKET = 256;

/**
 * The usual bucket of a batch: the largest power of two up to an eighth of its tokens, from 1 to 256. Padding is computed in
 * vain, and each length is a program: so at most an eighth is padding, and there are at most eight lengths from one power
 * of two to the next up to 2,048.
 */
export function usualBucket(rows: readonly ArrayLike<number>[]): number {
  const eighth = rows.reduce((sum, row) => sum + row.length, 0) / 8;
  return Math.min(LARGEST_USUAL_BUCKET, 2 ** Math.max(0, Math.floor(Math.log2(eighth))));
}

/**
 * Concatenates captions of any length and pads the total to a multiple of `bucket`, so that few different lengths, and
 * therefore few compiled programs, occur.
 *
 * @param rows B captions as token ids, each of at least one token, without padding
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT for an empty row or a bucket that is not a positive integer
 */
export function packText(rows: readonly ArrayLike<number>[], bucket = 1): PackedText {
  checkArgument("packText: rows", rows, tokenRows);
  checkArgument("packText: bucket", bucket, bucketSchema);
  return pack(rows, bucket);
}

function pack(rows: readonly ArrayLike<number>[], bucket: number): PackedText {
  const size = rows.length;
  const cuSeqlens = new Int32Array(size + 1);
  const textEnds = new Int32Array(size);
  for (let b = 0; b < size; b++) {
    cuSeqlens[b + 1] = cuSeqlens[b]! + rows[b]!.length;
    textEnds[b] = cuSeqlens[b + 1]! - 1;
  }
  const tokens = new Int32Array(Math.ceil(cuSeqlens[size]! / bucket) * bucket);
  for (let b = 0; b < size; b++) tokens.set(rows[b]!, cuSeqlens[b]!);
  return { tokens, cuSeqlens, textEnds };
}

/**
 * Packs padded token rows [B, contextLength]. A caption ends at the first largest id of its row, which is the end of text
 * (the rule of the published text tower).
 */
export function packPadded(tokens: Int32Array, contextLength: number, bucket = 1): PackedText {
  checkArgument("packPadded: tokens", tokens, int32Array);
  checkArgument("packPadded: contextLength", contextLength, positiveInteger);
  checkArgument("packPadded: bucket", bucket, bucketSchema);
  if (tokens.length % contextLength !== 0) {
    const message = `${tokens.length} tokens do not make rows of ${contextLength}`;
    throw invalidArgument(message, { tokens: tokens.length, contextLength });
  }
  const rows: Int32Array[] = [];
  for (let start = 0; start < tokens.length; start += contextLength) {
    const row = tokens.subarray(start, start + contextLength);
    let end = 0;
    for (let i = 1; i < contextLength; i++) if (row[i]! > row[end]!) end = i;
    rows.push(row.subarray(0, end + 1));
  }
  return pack(rows, bucket);
}
