import { z } from "zod";
import { checkArgument, finiteNumber, listOf, options, wholeNumber } from "../arguments";
import { Parameter } from "../parameter";
import { elementCount } from "../shape";
import { apply, type Operand, operandList } from "../tensor";

export interface RandomFillSettings {
  /** One mean per parameter. */
  means: readonly number[];
  /** One standard deviation per parameter. */
  deviations: readonly number[];
  /** Values beyond this many standard deviations are drawn again; 0: all are kept. */
  cut?: number;
  seed: number;
  /** Index of the first parameter among all that share this seed. */
  first?: number;
}

const numbers = listOf(finiteNumber, "a list of numbers");
const fillSettings = options({
  means: numbers,
  deviations: numbers,
  cut: finiteNumber.min(0).optional(),
  seed: z.int32({ error: "a 32-bit integer" }),
  first: wholeNumber.optional(),
});

/**
 * Fills parameters with normal deviates (Box and Muller 1958) from the counter-based Philox generator: the
 * same values for the same seed on every backend, with or without padding, which becomes zero.
 */
export function randomFill(parameters: readonly Operand[], settings: RandomFillSettings): void {
  checkArgument("ops.randomFill: parameters", parameters, operandList);
  checkArgument("ops.randomFill: settings", settings, fillSettings);
  const { cut = 0, first = 0, ...rest } = settings;
  const shapes = parameters.map((each) => (each instanceof Parameter ? each.joinedShape : each.shape));
  const columns = shapes.map((shape) => shape.at(-1) ?? 1);
  const rows = shapes.map((shape) => elementCount(shape.slice(0, -1)));
  apply("random_fill", { parameters }, { ...rest, cut, first, rows, columns });
}
