import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { checkArgument, invalidArgument, listOf, text } from "../arguments";
import { cleanCaption, startOf } from "./clean_caption";
import { LONGEST_CONTEXT, SHORTEST_CONTEXT } from "./limits";

export const START_OF_TEXT = 49_406;
export const END_OF_TEXT = 49_407;

const BYTE_SYMBOLS = 256;
const FIRST_MERGE = 2 * BYTE_SYMBOLS;
/** The published pattern ignores case: ſ matches s, and U+0345, a case variant of ι, matches no class. */
const WORD_PATTERN =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: the combining mark is a separate character here
  /'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^ \u0345\p{L}\p{N}]+/gu;
/** At least the bytes of the longest token, so that a word cut to this many bytes per token still fills the context. */
const LONGEST_TOKEN_BYTES = 64;
/** Limit of the cleaned part of a caption: one of many megabytes would block the event loop. */
const CHARACTERS_PER_TOKEN = LONGEST_TOKEN_BYTES;
const DEFAULT_CONTEXT_LENGTH = 77;
const CACHED_WORDS = 50_000;
const STALE = -1;
const NO_MERGE = 1 << 16;

const contextLengthSchema = z
  .int({ error: "an integer of at least 2" })
  .min(SHORTEST_CONTEXT)
  .max(LONGEST_CONTEXT);
const captionsSchema = listOf(text, "a string or a list of strings");
const tokenIds = z.custom<ArrayLike<number>>(
  (value) =>
    (Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value)) &&
    // A transferred array has no elements and cannot be iterated.
    Array.prototype.every.call(value, Number.isSafeInteger),
  { error: "a list of token ids" },
);

/** The interface of the data loader and the models to a tokenizer. */
export interface Tokenizer {
  /** Token ids of one caption, start and end of text included, at most `contextLength` of them. */
  encode(caption: string, contextLength?: number): number[];
  readonly vocabularySize: number;
}

/** The byte of each of the first 256 ids: printable Latin-1 first, then the rest (GPT-2's bytes_to_unicode). */
function bytesOfSymbols(): Uint8Array {
  const isPrintable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  const bytes = Array.from({ length: BYTE_SYMBOLS }, (_, byte) => byte);
  return Uint8Array.from([...bytes.filter(isPrintable), ...bytes.filter((byte) => !isPrintable(byte))]);
}

/**
 * CLIP's byte-pair tokenizer (Radford et al. 2021; 49,408 ids). It works on ids: merge r joins two ids into 512 + r, so a
 * pair's id is also its priority. The names of special tokens in a caption are ordinary text.
 */
export class ClipTokenizer implements Tokenizer {
  readonly vocabularySize = 49_408;
  private readonly merges: Uint16Array; // [merges, 2] left and right id
  private readonly mergedIds = new Map<number, number>();
  private readonly byteOfSymbol = bytesOfSymbols();
  private readonly symbolOfByte = new Uint8Array(BYTE_SYMBOLS);
  private readonly words = new Map<string, readonly number[]>();

  constructor() {
    const table = readFileSync(join(__dirname, "../../assets/clip_merges.bin"));
    this.merges = new Uint16Array(table.length / 2);
    for (let i = 0; i < this.merges.length; i++) this.merges[i] = table.readUInt16LE(2 * i);
    for (let i = 0; i < this.merges.length; i += 2) {
      this.mergedIds.set(pairKey(this.merges[i]!, this.merges[i + 1]!), FIRST_MERGE + i / 2);
    }
    this.byteOfSymbol.forEach((byte, symbol) => {
      this.symbolOfByte[byte] = symbol;
    });
  }

  /**
   * Token ids of one caption, start and end of text included, at most `contextLength` of them. Of a long caption the
   * first 64 characters per token are read, not counting leading white space.
   */
  encode(caption: string, contextLength = DEFAULT_CONTEXT_LENGTH): number[] {
    checkArgument("encode: caption", caption, text);
    checkArgument("encode: contextLength", contextLength, contextLengthSchema);
    const ids = [START_OF_TEXT];
    const start = startOf(caption, CHARACTERS_PER_TOKEN * contextLength);
    for (const [word] of cleanCaption(start).matchAll(WORD_PATTERN)) {
      for (const id of this.encodeWord(word, contextLength)) ids.push(id);
      if (ids.length >= contextLength) break;
    }
    ids.length = Math.min(ids.length, contextLength - 1);
    ids.push(END_OF_TEXT);
    return ids;
  }

  /** The text of token ids up to the end of text, without the start of text, words separated by one space. */
  decode(ids: ArrayLike<number>): string {
    checkArgument("decode: ids", ids, tokenIds);
    const bytes: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (id === END_OF_TEXT) break;
      if (id !== START_OF_TEXT) this.appendBytes(id, bytes);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes)).trim();
  }

  private encodeWord(word: string, contextLength: number): readonly number[] {
    if (word.length > LONGEST_TOKEN_BYTES) return this.encodeLongWord(Buffer.from(word), contextLength);
    const known = this.words.get(word);
    if (known !== undefined) return known;
    const ids = this.mergeBytes(Buffer.from(word));
    if (this.words.size >= CACHED_WORDS) this.words.clear();
    this.words.set(word, ids);
    return ids;
  }

  /** A few bytes fill the context unless their tokens are long. */
  private encodeLongWord(bytes: Buffer, contextLength: number): readonly number[] {
    const ids = this.mergeBytes(bytes.subarray(0, 8 * contextLength));
    if (bytes.length <= 8 * contextLength || ids.length > 2 * contextLength) return ids;
    return this.mergeBytes(bytes.subarray(0, LONGEST_TOKEN_BYTES * contextLength));
  }

  private mergeBytes(bytes: Buffer): number[] {
    const symbols = Array.from(bytes, (byte) => this.symbolOfByte[byte]!);
    symbols[symbols.length - 1]! += BYTE_SYMBOLS;
    return this.mergePairs(symbols);
  }

  /**
   * Joins the pair of the lowest merged id, everywhere and from the left, until no pair can be joined. `merged[i]` is the
   * merged id of ids i and i + 1; only pairs next to a join are looked up again.
   */
  private mergePairs(ids: number[]): number[] {
    const merged = new Array<number>(ids.length).fill(STALE);
    for (;;) {
      let best = NO_MERGE;
      for (let i = 0; i < ids.length; i++) {
        if (merged[i] === STALE)
          merged[i] = this.mergedIds.get(pairKey(ids[i]!, ids[i + 1] ?? -1)) ?? NO_MERGE;
        best = Math.min(best, merged[i]!);
      }
      if (best === NO_MERGE) return ids;
      let length = 0;
      for (let i = 0; i < ids.length; i++, length++) {
        const joins = merged[i] === best;
        if (joins && length > 0) merged[length - 1] = STALE;
        ids[length] = joins ? best : ids[i]!;
        merged[length] = joins ? STALE : merged[i]!;
        if (joins) i++;
      }
      ids.length = length;
    }
  }

  private partsOf(id: number): [number, number] {
    const at = 2 * (id - FIRST_MERGE);
    return [this.merges[at]!, this.merges[at + 1]!];
  }

  private appendBytes(id: number, bytes: number[]): void {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabularySize) {
      throw invalidArgument(`token ids are integers from 0 to ${this.vocabularySize - 1}, found ${id}`, {
        id,
      });
    }
    if (id >= FIRST_MERGE) {
      for (const part of this.partsOf(id)) this.appendBytes(part, bytes);
      return;
    }
    bytes.push(this.byteOfSymbol[id % BYTE_SYMBOLS]!);
    if (id >= BYTE_SYMBOLS) bytes.push(0x20);
  }
}

function pairKey(left: number, right: number): number {
  return left * 2 ** 16 + right;
}

let shared: ClipTokenizer | undefined;

/** The shared CLIP tokenizer of this process, made at first use. */
export function clipTokenizer(): ClipTokenizer {
  shared ??= new ClipTokenizer();
  return shared;
}

/**
 * Token ids [captions, contextLength], row-major: each row is start of text, the caption, end of text, then zeros. A
 * caption that is too long is truncated, and its last id is the end of text (the published rule).
 */
export function tokenize(
  captions: string | readonly string[],
  contextLength = DEFAULT_CONTEXT_LENGTH,
): Int32Array {
  const rows = typeof captions === "string" ? [captions] : captions;
  checkArgument("tokenize: captions", rows, captionsSchema);
  checkArgument("tokenize: contextLength", contextLength, contextLengthSchema);
  const tokenizer = clipTokenizer();
  const tokens = new Int32Array(rows.length * contextLength);
  rows.forEach((caption, row) => {
    tokens.set(tokenizer.encode(caption, contextLength), row * contextLength);
  });
  return tokens;
}
