// Repairs text whose bytes were decoded in the wrong encoding, by the rules of ftfy's fix_encoding.
import { CODE_PAGES, codePage } from "./code_pages";
import { isMojibake, MOJIBAKE_SEQUENCES } from "./mojibake";
import { decodeUtf8, replaceLossySequences, restoreA0 } from "./utf8";

/** Number of characters that may still be read, which bounds text made to need many passes. */
export interface Work {
  left: number;
}

const LATIN_1 = codePage("latin-1");
const WINDOWS_1252 = codePage("windows-1252");
const C1_CONTROLS = /[\x80-\x9f]+/g;
/** Bytes that Windows-1252 does not assign. */
const UNASSIGNED = /[\x81\x8d\x8f\x90\x9d]/;

/** C1 controls replaced by the characters of Windows-1252. */
export function replaceC1Controls(text: string): string {
  return text.replace(C1_CONTROLS, (controls) => WINDOWS_1252.decode(controls));
}

/** The text whose UTF-8 was read in a single-byte encoding, or undefined. */
function decodedAgain(text: string): string | undefined {
  for (const page of CODE_PAGES) {
    let bytes = page.encode(text);
    if (bytes === undefined) continue;
    // In MacRoman the same bytes are an en dash and a space.
    if (page.name !== "macroman") bytes = restoreA0(bytes);
    if (page.isLossy) bytes = replaceLossySequences(bytes);
    const decoded = decodeUtf8(bytes);
    if (decoded !== undefined) return decoded;
  }
  return undefined;
}

/** Repairs each sequence that is clearly mojibake separately. */
function repairSequences(text: string, work: Work): string {
  return text.replace(MOJIBAKE_SEQUENCES, (sequence) =>
    sequence.length < text.length && isMojibake(sequence) ? fixEncoding(sequence, work) : sequence,
  );
}

function fixOnce(text: string, work: Work): string {
  if (!isMojibake(text)) return text;
  const decoded = decodedAgain(text);
  if (decoded !== undefined) return decoded;
  const repaired = repairSequences(text, work);
  if (repaired !== text) return repaired;
  const bytes = LATIN_1.encode(text);
  if (bytes !== undefined && !UNASSIGNED.test(bytes)) {
    const asWindows = WINDOWS_1252.decode(bytes);
    if (asWindows !== text) return asWindows;
  }
  return replaceC1Controls(text);
}

/** Repairs mojibake until none is recognized. */
export function fixEncoding(text: string, work: Work): string {
  for (let current = text; ; ) {
    work.left -= current.length;
    const fixed = work.left > 0 ? fixOnce(current, work) : current;
    if (fixed === current) return fixed;
    current = fixed;
  }
}
