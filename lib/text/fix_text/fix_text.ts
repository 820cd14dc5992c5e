// The defaults of ftfy.fix_text (version 6.3, by Robyn Speer), which CLIP's tokenizer calls first: published models never
// saw a curly quote. The rules and their order are ftfy's; the implementation is not.
import { fixCharacters } from "./characters";
import { fixEncoding, type Work } from "./encoding";
import { unescapeHtml } from "./html";

/** Text that no rule changes. */
const PLAIN = /^[\t\n\f\x20-\x25\x27-\x7e]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is the range of ASCII
const ASCII = /^[\x00-\x7f]*$/;

/** Speed of a pass over ASCII relative to a search for mojibake. */
const ASCII_SPEED = 16;
const MARKS_IN_ORDER = 256;
const MANY_MARKS = new RegExp(`\\p{M}{${MARKS_IN_ORDER}}`, "u");
const PIECES = new RegExp(`\\P{M}*\\p{M}{0,${MARKS_IN_ORDER}}`, "gu");

/** NFC; long runs of marks are normalized in pieces, because ordering takes the square of their number. */
function compose(text: string): string {
  if (text.length < MARKS_IN_ORDER || !MANY_MARKS.test(text)) return text.normalize("NFC");
  return text.replace(PIECES, (piece) => piece.normalize("NFC"));
}

function fixLine(line: string, hasMarkup: boolean, work: Work): string {
  for (let text = line; ; ) {
    let fixed = hasMarkup ? text : unescapeHtml(text);
    const isAscii = ASCII.test(fixed);
    work.left -= isAscii ? fixed.length / ASCII_SPEED : fixed.length;
    if (work.left <= 0) return text;
    if (!isAscii) fixed = fixEncoding(fixed, work);
    fixed = compose(fixCharacters(fixed));
    if (fixed === text) return text;
    text = fixed;
  }
}

/** Repairs a text line by line; from the first line with a "<" on, it counts as HTML, and character references stay. */
export function fixText(text: string): string {
  if (PLAIN.test(text)) return text;
  const work = { left: 32_768 + 8 * text.length };
  let hasMarkup = false;
  let fixed = "";
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf("\n", start) + 1 || text.length;
    const line = text.slice(start, end);
    hasMarkup ||= line.includes("<");
    fixed += PLAIN.test(line) ? line : fixLine(line, hasMarkup, work);
    start = end;
  }
  return fixed;
}
