import { EvaClipError } from "eva-clip";
import type { Tokenizer } from "eva-clip/data";

/** Id of every token that is not in the vocabulary; also pads packed batches. */
export const UNKNOWN = 0;

/** More tokens than any text of the data set has. */
const WHOLE_TEXT = 256;

/**
 * The byte-pair tokens that occur in a set of texts, renumbered densely: a few thousand embeddings to learn instead of
 * CLIP's 49,408, most of which a small data set never uses. Unlike a list of words, it can encode parts of unseen words.
 *
 * Ids: 0 unknown, 1…n the tokens in ascending byte-pair order, then start and, as the largest, end of text.
 */
export class Vocabulary implements Tokenizer {
  readonly start: number;
  readonly end: number;
  private readonly ids: ReadonlyMap<number, number>;

  /**
   * @param bytePairs the tokenizer whose ids are renumbered
   * @param pieces its ids, without start and end
   * @param contextLength maximum length of an encoding, including start and end
   */
  constructor(
    private readonly bytePairs: Tokenizer,
    readonly pieces: readonly number[],
    readonly contextLength: number,
  ) {
    if (!Number.isInteger(contextLength) || contextLength < 3) {
      throw new EvaClipError(
        "ERR_EVACLIP_INVALID_ARGUMENT",
        `contextLength: expected an integer of at least 3; found ${contextLength}`,
      );
    }
    this.ids = new Map(pieces.map((piece, index) => [piece, index + 1]));
    this.start = pieces.length + 1;
    this.end = pieces.length + 2;
  }

  /** The vocabulary of `texts`. */
  static of(texts: Iterable<string>, bytePairs: Tokenizer, contextLength: number): Vocabulary {
    const pieces = new Set<number>();
    for (const text of texts) for (const piece of piecesOf(bytePairs, text)) pieces.add(piece);
    return new Vocabulary(
      bytePairs,
      [...pieces].sort((a, b) => a - b),
      contextLength,
    );
  }

  /** Number of different ids. */
  get vocabularySize(): number {
    return this.end + 1;
  }

  /** Start, the tokens (truncated to fit), end. */
  encode(text: string, contextLength = this.contextLength): number[] {
    const pieces = piecesOf(this.bytePairs, text).slice(0, contextLength - 2);
    return [this.start, ...pieces.map((piece) => this.ids.get(piece) ?? UNKNOWN), this.end];
  }

  /** Whether every token of a text is in the vocabulary. */
  knows(text: string): boolean {
    return piecesOf(this.bytePairs, text).every((piece) => this.ids.has(piece));
  }
}

function piecesOf(bytePairs: Tokenizer, text: string): number[] {
  return bytePairs.encode(text, WHOLE_TEXT).slice(1, -1);
}
