// UTF-8 and its variants. Bytes are strings of characters up to U+00FF, one per byte.
import { isUtf8 } from "node:buffer";

/** A surrogate pair whose halves were encoded separately (CESU-8); the last byte may be missing at the end of a line. */
const ENCODED_PAIR = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf]|\n$)/g;
/** U+0000 in Java's modified UTF-8, with the same exception. */
const LONG_NULL = /\xc0(?:\x80|\n$)/g;

const toBytes = (text: string) => Buffer.from(text).toString("latin1");
const lowBits = (byte: string, count: number) => byte.charCodeAt(0) & ((1 << count) - 1);

function joinPair(_: string, a: string, b: string, c: string, d: string): string {
  const bits = (lowBits(a, 4) << 16) | (lowBits(b, 6) << 10) | (lowBits(c, 4) << 6) | lowBits(d, 6);
  return toBytes(String.fromCodePoint(0x1_00_00 + bits));
}

/** The text of UTF-8 bytes, CESU-8 and Java's variant included, or undefined for other bytes. */
export function decodeUtf8(bytes: string): string | undefined {
  const regular = /[\xc0\xed]/.test(bytes)
    ? bytes.replace(LONG_NULL, "\0").replace(ENCODED_PAIR, joinPair)
    : bytes;
  const buffer = Buffer.from(regular, "latin1");
  return isUtf8(buffer) ? buffer.toString("utf8") : undefined;
}

/** Sequences broken by a space in place of byte A0, where A0 would make a likely character. */
const SPACE_FOR_A0 = new RegExp(
  [
    "[\\xc2\\xc3\\xc5\\xce\\xd0\\xd9] ",
    "[\\xe2\\xe3] [\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf]",
    "[\\xe0-\\xe3][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf] ",
    "\\xf0 [\\x80-\\xbf]{2}",
    "\\xf0[\\x80-\\xbf] [\\x80-\\xbf]",
    "\\xf0[\\x80-\\xbf]{2} ",
  ].join("|"),
  "g",
);
/** "à" as a separate word, whose space stays; not Portuguese "às" and "àquele". */
const A_GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g;

/** Restores byte A0 where a space has replaced it. */
export function restoreA0(bytes: string): string {
  if (bytes.search(SPACE_FOR_A0) < 0) return bytes;
  return bytes
    .replace(A_GRAVE_WORD, "\xc3\xa0 ")
    .replace(SPACE_FOR_A0, (sequence) => sequence.replaceAll(" ", "\xa0"));
}

/** Sequences with lost bytes, which became the substitute byte or, in one case, a question mark. */
const LOSSY_SEQUENCE = new RegExp(
  [
    "[\\xc2-\\xdf]\\x1a",
    "[\\xc2\\xc3]\\?",
    "\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]",
    "\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]",
    "[\\xe0-\\xef][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xe0-\\xef][\\x1a\\x80-\\xbf][\\x1a?]",
    "[\\xf0-\\xf4][\\x1a?][\\x1a\\x80-\\xbf]{2}",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf]{2}[\\x1a?]",
    "\\x1a",
  ].join("|"),
  "g",
);

/** Replaces undecodable sequences by U+FFFD. */
export function replaceLossySequences(bytes: string): string {
  return bytes.replace(LOSSY_SEQUENCE, toBytes("\ufffd"));
}
