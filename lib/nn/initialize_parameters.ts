import { z } from "zod";
import { checkArgument, instanceOf, listOf } from "../arguments";
import { compile } from "../compile";
import type { Device } from "../device";
import { randomFill } from "../ops/random_fill";
import { aDevice, type Initializer, Parameter } from "../parameter";

/** The seed of random numbers. */
export const seed32 = z.int32({ error: "a 32-bit integer" });
export const parameterList = listOf(instanceOf(Parameter), "a list of parameters");

interface Normal {
  readonly mean: number;
  readonly std: number;
  readonly cut: number;
}

/** Consecutive parameters with the same truncation, and the index of the first among all. */
interface Run {
  readonly first: number;
  readonly cut: number;
  readonly parameters: Parameter[];
}

/** Every initializer as a normal; a constant has a standard deviation of 0. */
function normalOf(initial: Initializer): Normal {
  if (initial.kind === "constant") return { mean: initial.value, std: 0, cut: 0 };
  return { mean: initial.mean ?? 0, std: initial.std, cut: initial.cut ?? 0 };
}

function runsOf(parameters: readonly Parameter[]): Run[] {
  const runs: Run[] = [];
  parameters.forEach((parameter, first) => {
    const { cut } = normalOf(parameter.initial);
    const last = runs.at(-1);
    if (last?.cut === cut) last.parameters.push(parameter);
    else runs.push({ first, cut, parameters: [parameter] });
  });
  return runs;
}

/**
 * Fills parameters that have storage on `device` with their initial values, computed on the device. The values are a
 * function of the seed, the order of the parameters and their initializers, and the same on every backend.
 */
export async function initializeParameters(
  device: Device,
  parameters: readonly Parameter[],
  seed = 0,
): Promise<void> {
  checkArgument("initializeParameters: device", device, aDevice);
  checkArgument("initializeParameters: parameters", parameters, parameterList);
  checkArgument("initializeParameters: seed", seed, seed32);
  const program = await compile(device, {}, () => {
    for (const { first, cut, parameters: alike } of runsOf(parameters)) {
      const normals = alike.map(({ initial }) => normalOf(initial));
      const means = normals.map(({ mean }) => mean);
      const deviations = normals.map(({ std }) => std);
      randomFill(alike, { means, deviations, cut, seed, first });
    }
    return {};
  });
  try {
    await program({});
  } finally {
    program.dispose();
  }
}
