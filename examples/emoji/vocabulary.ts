import { EvaClipError } from "../../lib/errors";

/** Text to byte-pair ids, without start and end. */
export type PieceEncoder = (text: string) => readonly number[];

/** Id of every piece that training never showed; also what packed batches are filled up with. */
export const UNKNOWN = 0;

/**
 * The byte-pair pieces that occur in a set of texts, renumbered densely: a few thousand embeddings to learn in place of
 * CLIP's 49,408, most of which a small data set never touches.
 *
 * Ids: 0 unknown, 1…n the pieces in ascending byte-pair order, then start and, as the largest, end of text.
 */
export class Vocabulary {
  readonly start: number;
  readonly end: number;
  private readonly ids: ReadonlyMap<number, number>;

  private constructor(
    private readonly encodePieces: PieceEncoder,
    readonly pieces: readonly number[],
    readonly contextLength: number,
  ) {
    if (!(contextLength >= 3)) {
      throw new EvaClipError("ERR_EVACLIP_OPTION", `contextLength: expected at least 3; found ${contextLength}`);
    }
    this.ids = new Map(pieces.map((piece, index) => [piece, index + 1]));
    this.start = pieces.length + 1;
    this.end = pieces.length + 2;
  }

  /** The vocabulary of `texts`. */
  static of(texts: Iterable<string>, encodePieces: PieceEncoder, contextLength: number): Vocabulary {
    const pieces = new Set<number>();
    for (const text of texts) for (const piece of encodePieces(text)) pieces.add(piece);
    return new Vocabulary(encodePieces, [...pieces].sort((a, b) => a - b), contextLength);
  }

  /** Number of different ids. */
  get size(): number {
    return this.end + 1;
  }

  /** Start, the pieces (cut to fit `contextLength`), end. */
  encode(text: string): number[] {
    const pieces = this.encodePieces(text).slice(0, this.contextLength - 2);
    return [this.start, ...pieces.map((piece) => this.ids.get(piece) ?? UNKNOWN), this.end];
  }

  /** Whether every piece of a text is known. */
  knows(text: string): boolean {
    return this.encodePieces(text).every((piece) => this.ids.has(piece));
  }
}
