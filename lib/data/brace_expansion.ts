import { EvaClipError } from "../errors";

const GREATEST_EXPANSION = 1_000_000;
const RANGE = /^(-?\d+)\.\.(-?\d+)$/;

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

function numbersOf(from: string, to: string): string[] {
  const isPadded = [from, to].some((text) => /^-?0\d/.test(text));
  const width = isPadded ? Math.max(from.length, to.length) : 0;
  const [first, last] = [Number(from), Number(to)];
  const count = Math.abs(last - first) + 1;
  if (count > GREATEST_EXPANSION) {
    const message = `{${from}..${to}} stands for ${count} names, more than ${GREATEST_EXPANSION}`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { from, to });
  }
  const step = first <= last ? 1 : -1;
  return Array.from({ length: count }, (_, i) => String(first + i * step).padStart(width, "0"));
}

/**
 * The names a shell's brace pattern stands for, in order: `shard-{0000..0099}.tar`, `{train,extra}-{0..9}.tar`. Zeros
 * in front are kept; braces around neither a range nor a list stay as they are.
 */
export function expandBraces(pattern: string): string[] {
  for (let open = pattern.indexOf("{"); open >= 0; open = pattern.indexOf("{", open + 1)) {
    const close = closingBrace(pattern, open);
    if (close < 0) break;
    const inside = pattern.slice(open + 1, close);
    const range = RANGE.exec(inside);
    const parts = splitAtTopLevelCommas(inside);
    if (range === null && parts.length === 1) continue;
    const middles = range === null ? parts.flatMap(expandBraces) : numbersOf(range[1]!, range[2]!);
    const ends = expandBraces(pattern.slice(close + 1));
    const start = pattern.slice(0, open);
    return middles.flatMap((middle) => ends.map((end) => start + middle + end));
  }
  return [pattern];
}
