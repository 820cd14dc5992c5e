import {
  anyFunction,
  checkArgument,
  invalidArgument,
  options as optionsOf,
  ownArgument,
  share,
} from "../../arguments";
import type { Device } from "../../device";
import { emaUpdate } from "../../ops/optimizer";
import { parameterList } from "../../optim/parameter_groups";
import { aDevice, allocateAll, Parameter } from "../../parameter";
import { type AfterUpdate, clampLogitScale } from "./after_update";

export interface MovingAverageOptions {
  /** The share of the average that a step keeps, below 1: 0.9999, say, averages about the last 10,000 steps. */
  readonly decay: number;
  /** Records what precedes the average, which is of the values that this leaves. Default `clampLogitScale`. */
  readonly afterUpdate?: AfterUpdate;
}

// Checked as f32: a decay that rounds to 1 would keep the first values for ever.
const decay = share.refine((value) => Math.fround(value) < 1, { error: "less than 1, as f32" });
const averageOptions = optionsOf({ decay, afterUpdate: anyFunction.optional() });

/** Exponential moving averages of parameters; `movingAverage` makes it. It owns their memory, f32. */
export class MovingAverage {
  /** One per parameter, in their order and under their names, so that a file of them loads as one of the parameters. */
  readonly averages: readonly Parameter[];
  /** For `train`'s field of this name: a checkpoint holds the averages in `ema.safetensors`, and a resumed run continues them. */
  readonly parameterGroups: { readonly ema: readonly Parameter[] };
  /** For `train`'s field of this name. An update that changes nothing, for its gradients are not finite, changes no average. */
  readonly afterUpdate: AfterUpdate;
  readonly #parameters: readonly Parameter[];

  /** Use `movingAverage()`. */
  constructor(given: readonly Parameter[], how: MovingAverageOptions) {
    const parameters = ownArgument("movingAverage: parameters", given, parameterList);
    const { decay, afterUpdate } = ownArgument("movingAverage: options", how, averageOptions);
    const names = new Set(parameters.map(({ name }) => name));
    if (names.size === 0 || names.size < parameters.length) {
      const problem = names.size === 0 ? "no parameter" : "two parameters of one name";
      throw invalidArgument(`movingAverage: parameters must have names of their own, found ${problem}`);
    }
    const before = (afterUpdate as AfterUpdate | undefined) ?? clampLogitScale;
    const averages = parameters.map(
      ({ name, shape, storedShape, role }) => new Parameter(name, shape, { storedShape, role }),
    );
    this.#parameters = parameters;
    this.averages = averages;
    this.parameterGroups = { ema: averages };
    this.afterUpdate = (update) => {
      const metrics = before(update);
      emaUpdate({ averages, parameters, norm: update.gradientNorm }, decay);
      return metrics;
    };
  }

  /**
   * Allocates the averages on `device` and starts them at the present values of the parameters: all of them, or none where
   * memory does not suffice.
   * @throws EvaClipError (as a rejection) `ERR_EVACLIP_OUT_OF_MEMORY`; `ERR_EVACLIP_INVALID_ARGUMENT` for a parameter that
   *   is not f32 in memory, or averages that have memory already
   */
  async allocate(device: Device): Promise<void> {
    checkArgument("MovingAverage.allocate: device", device, aDevice);
    const wrong = this.#parameters.find(({ allocated, dtype }) => !allocated || dtype !== "f32");
    if (wrong) {
      const found = wrong.allocated ? wrong.dtype : "not allocated";
      const message = `MovingAverage.allocate: the parameters must be f32 in memory: ${wrong.name} is ${found}`;
      throw invalidArgument(message, { parameter: wrong.name });
    }
    allocateAll(this.averages, device);
    try {
      // One after another: the copies on the host take the memory of the largest parameter, not of all.
      for (const [i, parameter] of this.#parameters.entries()) {
        const { data } = await parameter.read();
        await this.averages[i]!.write(data);
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Frees the averages. */
  dispose(): void {
    for (const average of this.averages) average.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Exponential moving averages of parameters over the updates of a run: average += (1 - decay) (parameter - average).
 * `await allocate(device)` starts them, before `train`; `afterUpdate` and `parameterGroups` are for its configuration.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a decay outside [0, 1), no parameter, or two of one name
 */
export function movingAverage(
  parameters: readonly Parameter[],
  options: MovingAverageOptions,
): MovingAverage {
  return new MovingAverage(parameters, options);
}
