// Recognizes text that was decoded in the wrong encoding. The groups of characters, and their combinations that are
// unlikely in real text, are those of ftfy 6.3 (Apache-2.0, see THIRD_PARTY_NOTICES): others would give other ids than
// those that published models were trained with.
import { CODE_PAGES } from "./code_pages";

// Members of character classes, "-" for ranges.
const C1 = "\\x80-\\x9f";
const COMMON = "\\xa0\\xad·´–-―’…";
const BAD = "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\\ufffd";
const LAW = "§¶";
const CURRENCY = "¢£¥₧€";
const OPENING = "¡©«¿΄΅‘‚“„•‹\\uf8ff";
const CLOSING = "®»˝”›™";
const NUMERIC = "±-³µ¹¼-¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥";
/** Letters used in kaomoji. */
const FACE = "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ";
const UPPER = "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";
const LOWER = "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ";
const UPPER_COMMON = "ÞΆΈ-ΊΌΎΏΑ-ΫЁ-Я";
const LOWER_COMMON = "ά-ωа-џ";
const BOX = "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓";

const SIGNS = `${BOX}${OPENING}${CLOSING}${CURRENCY}${NUMERIC}${LAW}`;
/** Characters between two leading letters of UTF-8 decoded as Windows-1251 or 1253. */
const BETWEEN_LEADS = `${C1}${BAD}${OPENING}${CLOSING}${CURRENCY}°`;
const ARABIC = `[ØÙ][${COMMON}${CURRENCY}${BAD}${NUMERIC}${OPENING}ŸŠ®°µ»]`;

const BETWEEN_GROUPS = [
  `[${C1}]`,
  `[${BAD}${LOWER}${UPPER}${SIGNS}][${BAD}]`,
  `[a-zA-Z][${LOWER_COMMON}${UPPER_COMMON}][${BAD}]`,
  `[${BAD}][${LOWER}${UPPER}${SIGNS}]`,
  `[${LOWER}${LOWER_COMMON}${BOX}${CLOSING}${CURRENCY}${NUMERIC}][${UPPER}]`,
  `[${BOX}${CLOSING}${CURRENCY}${NUMERIC}][${LOWER}]`,
  `[${LOWER}${BOX}${CLOSING}][${CURRENCY}]`,
  `[\\p{White_Space}\\x1c-\\x1f][${UPPER}][${CURRENCY}]`,
  `[${UPPER}${BOX}][${NUMERIC}${LAW}]`,
  `[${LOWER}${UPPER}${BOX}${CURRENCY}${CLOSING}][${OPENING}][${NUMERIC}]`,
  `[${LOWER}${UPPER}${CURRENCY}${NUMERIC}${BOX}${LAW}][${CLOSING}][${OPENING}]`,
  `[${CURRENCY}${NUMERIC}${BOX}][${OPENING}]`,
  `[a-z][${UPPER}][${OPENING}${CURRENCY}]`,
  `[${BOX}][${FACE}${CLOSING}]`,
  `[${LOWER}${UPPER}${CURRENCY}${NUMERIC}${OPENING}${CLOSING}${LAW}][${BOX}]`,
  `[${LOWER}${UPPER}][${OPENING}${CLOSING}][\\p{L}\\p{N}_]`,
  `[${UPPER}]°`,
  "[Œœ][^A-Za-z]",
];

/** Sequences of one encoding that the groups do not distinguish from real text. */
const OF_ENCODINGS = [
  // Windows-1252: two characters, Arabic, South Asian alphabets, à and á
  `[ÂÃÎÐ][€œŠš¢£Ÿž\\xa0\\xad®©°·»${OPENING}${CLOSING}–—´]`,
  "×[²³]",
  `${ARABIC}${ARABIC}`,
  "à[²µ¹¼½¾]",
  "Ã[\\xa0¡]",
  "[a-z][\\p{White_Space}\\x1c-\\x1f]?[ÃÂ] ",
  "^[ÃÂ] ",
  `[a-z.,?!${CLOSING}]Â[ ${OPENING}${CLOSING}]`,
  // MacRoman
  "√[±∂†≠®™´≤≥¥µø]",
  "≈[°¢]",
  "‚Ä[ìîïòôúùû†°¢π]",
  "‚[âó][àä°ê]",
  // Windows-1251: U+2000 to U+203F, Latin-1 and Cyrillic, and Windows-1252 on top of Latin-1
  "вЂ",
  `[ВГРС][${BETWEEN_LEADS}µ][ВГРС]`,
  "ГўВЂВ[^\\n][A-Za-z ]",
  // Windows-1253: U+2000 to U+203F, Latin-1 and Greek
  "β€[™\\xa0Ά\\xad®°]",
  `[ΒΓΞΟ][${BETWEEN_LEADS}][ΒΓΞΟ]`,
  // Windows-1257
  "ā€",
];

const UNLIKELY = new RegExp([...BETWEEN_GROUPS, ...OF_ENCODINGS].join("|"), "u");
/** Each of the sequences contains one of these: one quick search decides most text. */
const CLUE = new RegExp(`[${C1}${BAD}${LOWER}${UPPER}${SIGNS}°ЂÙ]`);

/** Whether a text has a sequence of characters that is rare outside wrongly decoded UTF-8. */
export function isMojibake(text: string): boolean {
  return CLUE.test(text) && UNLIKELY.test(text);
}

const LATIN_1_LIKE = CODE_PAGES.filter(({ name }) => name === "latin-1" || name.startsWith("windows-"));
const NOT_STRICT = /[–—―‘’‚“”„•…]/g;

/** A character class of bytes `first` to `last` decoded in the encodings that resemble Latin-1. */
function decodings(first: number, last: number): string {
  return LATIN_1_LIKE.map((page) => page.range(first, last)).join("");
}

const FOLLOWING = `[ ${decodings(0x80, 0xbf)}]`;

/**
 * UTF-8 sequences decoded in an encoding that resembles Latin-1. The preceding character must not be such a byte as well,
 * except for punctuation: a few sequences within longer garbled text are better left alone.
 */
export const MOJIBAKE_SEQUENCES = new RegExp(
  `(?<![${decodings(0x80, 0xbf).replace(NOT_STRICT, "")}])` +
    `(?:[${decodings(0xc2, 0xdf)}]${FOLLOWING}|[${decodings(0xe0, 0xef)}]${FOLLOWING}{2}` +
    `|[${decodings(0xf0, 0xf0)}${decodings(0xf3, 0xf3)}]${FOLLOWING}{3})+`,
  "g",
);
