import { decodeReferences } from "./fix_text/html";
import { fixText } from "./fix_text/fix_text";

/** Python's white space: JavaScript's `\s` without U+FEFF and with five control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: four of them are information separators
const WHITE_SPACE = /[\p{White_Space}\x1c-\x1f]+/gu;
const PLAIN = /^[\x20-\x25\x27-\x7e]*$/;

/** The published cleaning: `fix_text`, HTML decoded twice, white space collapsed, lower case. */
export function cleanCaption(caption: string): string {
  if (PLAIN.test(caption)) return caption.replace(/ {2,}/g, " ").trim().toLowerCase();
  const decoded = decodeReferences(decodeReferences(fixText(caption)));
  return decoded.replace(WHITE_SPACE, " ").replace(/^ | $/g, "").toLowerCase();
}

const LONGEST_MARGIN = 1 << 20;
const NOT_BLANK = /[^ \t\n\f\r]/;

/**
 * The first `length` characters of a caption, ending between words where possible. Leading white space (up to a million
 * characters) is dropped except its last character, by which `fix_text` recognizes the start of a word.
 */
export function startOf(caption: string, length: number): string {
  if (caption.length <= length) return caption;
  const margin = caption.slice(0, LONGEST_MARGIN).search(NOT_BLANK);
  const first = margin < 0 ? LONGEST_MARGIN : Math.max(margin - 1, 0);
  if (caption.length <= first + length) return caption.slice(first);
  const start = caption.slice(first, first + length).replace(/[\ud800-\udbff]$/, "");
  const end = Math.max(start.lastIndexOf(" "), start.lastIndexOf("\n"));
  return end > length / 2 ? start.slice(0, end) : start;
}
