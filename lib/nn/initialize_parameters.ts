import { compile } from "../compile";
import type { Device } from "../device";
import { randomFill } from "../ops/random_fill";
import type { Initializer, Parameter } from "../parameter";

interface Normal {
  readonly mean: number;
  readonly std: number;
  readonly cut: number;
}

/** Every initial value as a normal deviate; a constant has no deviation. */
function normalOf(initial: Initializer): Normal {
  if (initial.kind === "constant") return { mean: initial.value, std: 0, cut: 0 };
  return { mean: initial.mean ?? 0, std: initial.std, cut: initial.cut ?? 0 };
}

/**
 * Gives parameters that have storage on `device` their initial values, on the device itself. The values are a function
 * of the seed, the parameters' order and their initialisers, and the same on every backend.
 */
export async function initializeParameters(
  device: Device,
  parameters: readonly Parameter[],
  seed = 0,
): Promise<void> {
  const byCut = Map.groupBy(parameters, ({ initial }) => normalOf(initial).cut);
  const program = await compile(device, {}, () => {
    let first = 0;
    for (const [cut, group] of byCut) {
      const normals = group.map(({ initial }) => normalOf(initial));
      const means = normals.map(({ mean }) => mean);
      const deviations = normals.map(({ std }) => std);
      randomFill(group, { means, deviations, cut, seed, first });
      first += group.length;
    }
    return {};
  });
  try {
    await program({});
  } finally {
    program.dispose();
  }
}
