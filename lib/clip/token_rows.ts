import { describeValue, invalidArgument } from "../arguments";
import { START_OF_TEXT, type Tokenizer } from "../text/tokenizer";

/** What the rows of tokens must fit. */
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
      const message = `caption ${caption}: token ids are from 0 to ${vocabulary - 1}, found ${id} at place ${i}`;
      throw invalidArgument(message, { caption, place: i, id });
    }
    if (id > row[end]!) end = i;
  }
  const hasClipsIds = vocabulary === START_OF_TEXT + 2;
  const endsRight = hasClipsIds ? row[end] === vocabulary - 1 : row[end]! > 0;
  if (!endsRight) {
    const expected = hasClipsIds ? `the end of text, ${vocabulary - 1}` : "an end of text, its largest id";
    throw invalidArgument(`caption ${caption} does not hold ${expected}: tokens must end with it`, {
      caption,
    });
  }
  const after = row.findIndex((id, i) => i > end && id !== 0);
  if (after >= 0) {
    const message = `caption ${caption}: after the end of text at place ${end} comes padding (0), found ${row[after]} at place ${after}`;
    throw invalidArgument(message, { caption, place: after });
  }
}

/**
 * Checks padded rows of token ids and cuts them after their end of text.
 * @param tokens [batch, L], row-major, L at most the context length
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming the caption, the place and what was expected
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

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when a model does not know all of the tokenizer's ids */
export function checkTokenizer({ vocabularySize }: Tokenizer, vocabulary: number): void {
  if (vocabularySize <= vocabulary) return;
  const message = `the tokenizer has ${vocabularySize} ids and the model knows ${vocabulary}: give the model's own tokenizer`;
  throw invalidArgument(message, { tokenizer: vocabularySize, model: vocabulary });
}

/** Checks what a tokenizer, which may be the user's own, made of a caption. */
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
  throw invalidArgument(`the tokenizer must make caption ${caption} ${expected}, found ${found}`, {
    caption,
  });
}
