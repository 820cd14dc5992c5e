import { invalidArgument, shortened } from "../../../arguments";

const GREATEST_EXPANSION = 1_000_000;
/** Maximum pattern length, which also limits the nesting of braces. */
const MOST_LETTERS = 4096;
const NUMBERS = /^(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?$/;
const LETTERS = /^([a-zA-Z])\.\.([a-zA-Z])(?:\.\.(-?\d+))?$/;

/** Position of the brace that closes the one at `open`, or -1. */
function closingBrace(pattern: string, open: number): number {
  let depth = 0;
  for (let i = open; i < pattern.length; i++) {
    if (pattern[i] === "{") depth++;
    if (pattern[i] === "}" && --depth === 0) return i;
  }
  return -1;
}

function splitAtTopLevelCommas(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const character of text) {
    if (character === "{") depth++;
    if (character === "}") depth--;
    if (character === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts;
}

function requireFewer(count: number, pattern: string): void {
  if (count <= GREATEST_EXPANSION) return;
  const message = `${shortened(pattern)} expands to ${count} names, more than ${GREATEST_EXPANSION}`;
  throw invalidArgument(message, { pattern });
}

/** The numbers from `first` to `last` in steps of |step|; as in bash, a step of 0 means 1. */
function progression(first: number, last: number, step: number, inside: string): number[] {
  const stride = Math.abs(step) || 1;
  const count = Math.floor(Math.abs(last - first) / stride) + 1;
  requireFewer(count, `{${inside}}`);
  const direction = first <= last ? stride : -stride;
  return Array.from({ length: count }, (_, i) => first + i * direction);
}

/** Expands a range of numbers or letters; undefined for anything else. */
function rangeOf(inside: string): string[] | undefined {
  const numbers = NUMBERS.exec(inside);
  if (numbers !== null) {
    const [, from, to, step = "1"] = numbers;
    const isPadded = [from, to].some((text) => /^-?0\d/.test(text!));
    const width = isPadded ? Math.max(from!.length, to!.length) : 0;
    const padded = (value: number) =>
      value < 0 ? `-${String(-value).padStart(width - 1, "0")}` : String(value).padStart(width, "0");
    return progression(Number(from), Number(to), Number(step), inside).map(padded);
  }
  const letters = LETTERS.exec(inside);
  if (letters === null) return undefined;
  const [, from, to, step = "1"] = letters;
  const codes = progression(from!.charCodeAt(0), to!.charCodeAt(0), Number(step), inside);
  return codes.map((code) => String.fromCharCode(code));
}

/**
 * Expands braces like bash, in order: `shard-{0000..0099}.tar`, `{train,extra}-{0..9}.tar`, `{0..98..2}`, `{a..f}`.
 * Leading zeros are kept; braces around neither a range nor a list are left unchanged.
 */
export function expandBraces(pattern: string): string[] {
  if (!pattern.includes("{")) return [pattern];
  if (pattern.length > MOST_LETTERS) {
    const message = `a pattern has at most ${MOST_LETTERS} characters, found ${pattern.length}`;
    throw invalidArgument(message);
  }
  for (let open = pattern.indexOf("{"); open >= 0; open = pattern.indexOf("{", open + 1)) {
    const close = closingBrace(pattern, open);
    if (close < 0) break;
    const inside = pattern.slice(open + 1, close);
    const range = rangeOf(inside);
    const parts = splitAtTopLevelCommas(inside);
    if (range === undefined && parts.length === 1) continue;
    const middles = range ?? parts.flatMap(expandBraces);
    const ends = expandBraces(pattern.slice(close + 1));
    requireFewer(middles.length * ends.length, pattern);
    const start = pattern.slice(0, open);
    return middles.flatMap((middle) => ends.map((end) => start + middle + end));
  }
  return [pattern];
}
