// Replaces or removes characters, by the rules of ftfy's fixers of the same names.
import { replaceC1Controls } from "./encoding";

const LIGATURES = new Map(
  Object.entries({
    Ĳ: "IJ",
    ĳ: "ij",
    ŉ: "ʼn",
    Ǳ: "DZ",
    ǲ: "Dz",
    ǳ: "dz",
    Ǆ: "DŽ",
    ǅ: "Dž",
    ǆ: "dž",
    Ǉ: "LJ",
    ǈ: "Lj",
    ǉ: "lj",
    Ǌ: "NJ",
    ǋ: "Nj",
    ǌ: "nj",
    ﬀ: "ff",
    ﬁ: "fi",
    ﬂ: "fl",
    ﬃ: "ffi",
    ﬄ: "ffl",
    ﬅ: "ſt",
    ﬆ: "st",
  }),
);

const LIGATURE = /[ĲĳŉǱ-ǳǄ-ǌﬀ-ﬆ]/g;
const OTHER_WIDTH = /[\uff01-\uffef]/g;
const IDEOGRAPHIC_SPACE = /\u3000/g;
const DOUBLE_QUOTE = /[\u201c-\u201f]/g;
const SINGLE_QUOTE = /[\u02bc\u2018-\u201b]/g;
const LINE_BREAK = /\r\n?|[\u2028\u2029\u0085]/g;
const LONE_SURROGATE = /\p{Surrogate}/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is to be removed
const TERMINAL_ESCAPE = /\x1b\[[\p{Nd};]*[a-zA-Z]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are to be removed
const CONTROL = /[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;
/** Any character that one of the above acts on. */
const ANY =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are to be removed
  /[\x00-\x08\x0b\x0d-\x1f\x7f-\x9fĲĳŉǱ-ǳǄ-ǌ\u02bc\u2018-\u201f\u2028\u2029\u206a-\u206f\u3000\ufb00-\ufb06\ufeff\uff01-\uffef\ufff9-\ufffc\p{Surrogate}]/u;

/**
 * Replaces C1 controls, Latin ligatures, full-width and half-width forms, curly quotes, line breaks other than "\n" and
 * lone surrogates, and removes terminal escapes and control characters.
 */
export function fixCharacters(text: string): string {
  if (!ANY.test(text)) return text;
  return replaceC1Controls(text)
    .replace(LIGATURE, (ligature) => LIGATURES.get(ligature) ?? ligature)
    .replace(IDEOGRAPHIC_SPACE, " ")
    .replace(OTHER_WIDTH, (form) => form.normalize("NFKC"))
    .replace(DOUBLE_QUOTE, '"')
    .replace(SINGLE_QUOTE, "'")
    .replace(LINE_BREAK, "\n")
    .replace(LONE_SURROGATE, "\ufffd")
    .replace(TERMINAL_ESCAPE, "")
    .replace(CONTROL, "");
}
