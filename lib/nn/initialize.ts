import { compile } from "../compile";
import type { Device } from "../device";
import { randomFill } from "../ops/random_fill";
import type { Parameter } from "../parameter";

/** Consecutive parameters whose deviates are cut alike, and the place of the first among all. */
interface Run {
  first: number;
  cut: number;
  parameters: Parameter[];
}

function runs(parameters: readonly Parameter[]): Run[] {
  const found: Run[] = [];
  parameters.forEach((parameter, place) => {
    const { initial } = parameter;
    const cut = initial.kind === "normal" ? (initial.cut ?? 0) : 0;
    const last = found.at(-1);
    if (last?.cut === cut) last.parameters.push(parameter);
    else found.push({ first: place, cut, parameters: [parameter] });
  });
  return found;
}

/**
 * Fills allocated parameters as their initialisers say. The same seed and the same list give the same values on every
 * device.
 */
export async function initialize(
  device: Device,
  parameters: readonly Parameter[],
  seed: number,
): Promise<void> {
  const program = await compile(device, {}, () => {
    for (const { first, cut, parameters: alike } of runs(parameters)) {
      const initials = alike.map(({ initial }) => initial);
      randomFill(alike, {
        means: initials.map((initial) => (initial.kind === "normal" ? (initial.mean ?? 0) : initial.value)),
        deviations: initials.map((initial) => (initial.kind === "normal" ? initial.std : 0)),
        cut,
        seed,
        first,
      });
    }
    return {};
  });
  await program({});
  program.dispose();
}
