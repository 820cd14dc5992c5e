import { describeValue, invalidArgument } from "../arguments";
import { START_OF_TEXT, type Tokenizer } from "../text/tokenizer";

/** Limits of token rows. */
export interface TokenLimits {
  readonly contextLength: number;
  readonly vocabulary: number;
}

/** The end of text is the largest id of a row (the published rule); after it there is padding only. */
function checkRow(row: Int32Array, caption: number, vocabulary: number): void {
  let end = 0;
  for (let i = 0; i < row.length; i++) {
    const id = row[i]!;
    if (id < 0 || id >= vocabulary) {
      const message = `caption ${caption}: token ids are from 0 to ${vocabulary - 1}, found ${id} at position ${i}`;
      throw invalidArgument(message, { caption, position: i, id });
    }
    if (id > row[end]!) end = i;
  }
  const hasClipsIds = vocabulary === START_OF_TEXT + 2;
  const endsRight = hasClipsIds ? row[end] === vocabulary - 1 : row[end]! > 0;
  if (!endsRight) {
    const expected = hasClipsIds ? `id ${vocabulary - 1}` : "a largest id above 0";
    throw invalidArgument(`caption ${caption} has no end of text: expected ${expected}`, {
      caption,
    });
  }
  const after = row.findIndex((id, i) => i > end && id !== 0);
  if (after >= 0) {
    const message = `caption ${caption}: the end of text at position ${end} must be followed by padding (0), found ${row[after]} at position ${after}`;
    throw invalidArgument(message, { caption, position: after });
  }
}

/**
 * Checks padded rows of token ids and truncates them after the end-of-text token.
 * @param tokens [batch, L], row-major, L at most the context length
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the caption, the position and the expected ids
 */
export function tokenRows(
  tokens: Int32Array,
  batch: number,
  { contextLength, vocabulary }: TokenLimits,
): Int32Array[] {
  const length = tokens.length / batch;
  if (batch < 1 || !Number.isInteger(length) || length < 1) {
    throw invalidArgument(`${tokens.length} tokens do not make ${batch} rows`, {
      tokens: tokens.length,
      batch,
    });
  }
  if (length > contextLength) {
    throw invalidArgument(`rows of ${length} tokens are longer than the context of ${contextLength}`, {
      length,
      contextLength,
    });
  }
  return Array.from({ length: batch }, (_, b) => {
    const row = tokens.subarray(b * length, (b + 1) * length);
    checkRow(row, b, vocabulary);
    const end = row.indexOf(row.reduce((a, id) => Math.max(a, id)));
    return row.subarray(0, end + 1);
  });
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when the tokenizer has more ids than the model */
export function checkTokenizer({ vocabularySize }: Tokenizer, vocabulary: number): void {
  if (vocabularySize <= vocabulary) return;
  const message = `the tokenizer has ${vocabularySize} ids and the model ${vocabulary}: pass the model's own tokenizer`;
  throw invalidArgument(message, { tokenizer: vocabularySize, model: vocabulary });
}

/** Checks a tokenizer's ids of a caption; the tokenizer may be the user's own. */
export function checkTokenizerRow(
  ids: readonly number[],
  caption: number,
  { contextLength, vocabulary }: TokenLimits,
): void {
  const isId = (id: unknown) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabulary;
  const length = (ids as readonly number[] | undefined)?.length ?? 0;
  const isRow = length >= 1 && length <= contextLength;
  if (isRow && Array.prototype.every.call(ids, isId)) return;
  const found = isRow ? describeValue(Array.prototype.find.call(ids, (id) => !isId(id))) : describeValue(ids);
  const expected = `1 to ${contextLength} ids from 0 to ${vocabulary - 1}`;
  throw invalidArgument(`the tokenizer must return ${expected} for caption ${caption}, found ${found}`, {
    caption,
  });
}
