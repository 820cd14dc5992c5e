// Parsers of flag values; each error states the permitted values.
import { homedir } from "node:os";
import { InvalidArgumentError } from "commander";

/** Steps and the seed are 32-bit integers. */
const MOST = 2 ** 31 - 1;
/** The range of normal f32 values, rounded inward. */
const [SMALLEST_REAL, LARGEST_REAL] = [1e-37, 1e38];

type Parser = (text: string) => number;

function parser(expected: string, isPermitted: (value: number) => boolean): Parser {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && isPermitted(value)) return value;
    throw new InvalidArgumentError(`It must be ${expected}.`);
  };
}

export function integer(least: number, most = MOST): Parser {
  const isPermitted = (value: number) => Number.isInteger(value) && value >= least && value <= most;
  return parser(`a whole number from ${least} to ${most}`, isPermitted);
}

function number(least: number, most: number): Parser {
  return parser(`a number from ${least} to ${most}`, (value) => value >= least && value <= most);
}

export const whole = integer(0);
export const positive = integer(1);
export const real = number(0, LARGEST_REAL);
export const positiveReal = number(SMALLEST_REAL, LARGEST_REAL);
export const share = number(0, 1);
export const belowOne = parser("a number of at least 0 and less than 1", (value) => value >= 0 && value < 1);

/** One of the numbers of a flag that takes three, one per channel. */
export function channels(text: string, earlier: readonly number[] = []): number[] {
  return [...earlier, real(text)];
}

/** Two fractions of an image's area, such as 0.4,1. */
export function cropScale(text: string): [number, number] {
  const [least, most, ...more] = text.split(",").map(share);
  if (least === undefined || most === undefined || more.length > 0 || least === 0 || least > most) {
    throw new InvalidArgumentError("It must be two fractions above 0, the smaller first, such as 0.4,1.");
  }
  return [least, most];
}

/** A path to write to. A `~` that the shell has not expanded would become a folder of that name. */
export function outputPath(text: string): string {
  if (!/^~(\/|$)/.test(text)) return text;
  const advice = `write ${homedir()}${text.slice(1)}, or ./${text} for a folder named ~`;
  throw new InvalidArgumentError(`The shell expands ~ only at the start of a word: ${advice}.`);
}

/** The options without those that are `undefined`. */
export function withoutUndefined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
