import { z } from "zod";
import { anyFunction, checkArgument, finiteNumber, options as optionsOf, ownArgument } from "../arguments";
import type { Device } from "../device";
import { EvaClipError } from "../errors";
import { zeros } from "../nn/initialization";
import { initializeParameters } from "../nn/initialize_parameters";
import { globalNorm, type UpdateInputs, type UpdateSettings } from "../ops/optimizer";
import { aDevice, allocateAll, Parameter } from "../parameter";
import { anOperand, type Operand, operandList, type Tensor } from "../tensor";
import { type ParameterRule, ruleList } from "./parameter_groups";

export interface OptimizerOptions {
  beta1?: number;
  beta2?: number;
  eps?: number;
  /** Gradients are scaled down to this global norm; 0: no clipping. */
  clipNorm?: number;
}

export interface UpdateStep {
  /** [parameters] f32, in the order of `parameters`: the values of `learningRatesAt` at this step. */
  learningRates: Operand;
  /** [] i32: 1 for the first update. */
  step: Operand;
  /** The bf16 copy of a parameter, which the update writes as well; undefined where there is none. */
  copyOf?: (parameter: Parameter) => Parameter | undefined;
}

export interface UpdateReport {
  /** [] f32: the global gradient norm before clipping. If it is not finite, the update is skipped. */
  gradientNorm: Tensor;
  /** [parameters] f32, LAMB only: the trust ratio of each parameter. */
  trustRatios?: Tensor;
}

// Checked as f32: a beta that rounds to 1, or an eps that rounds to 0, would divide by 0.
const decay = finiteNumber.min(0).refine((value) => Math.fround(value) < 1, { error: "less than 1, as f32" });
const epsilon = finiteNumber.refine((value) => Math.fround(value) > 0, { error: "more than 0, as f32" });

/** The fields of `OptimizerOptions`. */
export const optimizerFields = {
  beta1: decay.optional(),
  beta2: decay.optional(),
  eps: epsilon.optional(),
  clipNorm: finiteNumber.min(0).optional(),
};
const optimizerOptions = optionsOf(optimizerFields).optional();
const aStep = optionsOf({ learningRates: anOperand, step: anOperand, copyOf: anyFunction.optional() });
const aSchedule = z.union([finiteNumber, anyFunction], {
  error: "a number that f32 can hold, or a function",
});

/** Updates parameters from their gradients. It owns the moments, f32 on the same device. */
export abstract class Optimizer {
  /** The updated parameters, in the order of the gradients. */
  readonly parameters: readonly Parameter[];
  private readonly firstMoments: readonly Parameter[];
  private readonly secondMoments: readonly Parameter[];
  /** The settings of each of `parameters`. */
  readonly rules: readonly ParameterRule[];
  protected readonly settings: UpdateSettings;

  /**
   * The defaults are those of the released EVA-CLIP models.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for an empty list, or two parameters with the same name.
   */
  constructor(given: readonly ParameterRule[], how: OptimizerOptions = {}) {
    const rules = ownArgument("Optimizer: rules", given, ruleList);
    const options = ownArgument("Optimizer: options", how, optimizerOptions);
    const { beta1 = 0.9, beta2 = 0.98, eps = 1e-6, clipNorm = 0 } = options;
    const moments = (kind: string) =>
      rules.map(
        ({ parameter: { name, shape, storedShape } }) =>
          new Parameter(`${kind}.${name}`, shape, { initial: zeros, storedShape }),
      );
    this.parameters = rules.map(({ parameter }) => parameter);
    this.rules = rules;
    const names = new Set(this.parameters.map(({ name }) => name));
    if (names.size === 0 || names.size < this.parameters.length) {
      const problem = names.size === 0 ? "no parameter" : "two parameters of one name";
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `the optimizer was given ${problem}`);
    }
    this.firstMoments = moments("exp_avg");
    this.secondMoments = moments("exp_avg_sq");
    this.settings = {
      weightDecays: rules.map(({ weightDecay }) => weightDecay),
      beta1,
      beta2,
      eps,
      clipNorm,
    };
  }

  /** The largest learning rate of all parameters, before the schedule. */
  get learningRate(): number {
    return Math.max(...this.rules.map(({ learningRate }) => learningRate));
  }

  /**
   * The learning rates of one step, f32, one per parameter: its base rate times the schedule factor.
   * @param schedule The schedule factor at this step: one number, or a function per parameter.
   */
  learningRatesAt(schedule: number | ((rule: ParameterRule) => number)): Float32Array {
    checkArgument("Optimizer.learningRatesAt: schedule", schedule, aSchedule);
    return Float32Array.from(this.rules, (rule) => {
      const factor = typeof schedule === "number" ? schedule : schedule(rule);
      // The schema would dominate the cost of a step if it ran for every parameter.
      if (!Number.isFinite(Math.fround(factor)))
        checkArgument("Optimizer.learningRatesAt: schedule's result", factor, finiteNumber);
      return Math.fround(rule.learningRate) * Math.fround(factor);
    });
  }

  /** The algorithm and its settings; resuming compares them with the checkpoint's. */
  describe(): Record<string, string | number | Record<string, number[]>> {
    const { beta1, beta2, eps, clipNorm } = this.settings;
    const towers = [...new Set(this.rules.map(({ tower }) => tower))];
    /** The distinct values per tower, ascending. */
    const byTower = (field: "learningRate" | "weightDecay") =>
      Object.fromEntries(
        towers.map((tower) => {
          const values = this.rules.filter((rule) => rule.tower === tower).map((rule) => rule[field]);
          return [tower, [...new Set(values)].sort((a, b) => a - b)];
        }),
      );
    return {
      optimizer: this.constructor.name,
      learningRates: byTower("learningRate"),
      weightDecays: byTower("weightDecay"),
      beta1,
      beta2,
      eps,
      clipNorm,
    };
  }

  /**
   * The moments, under PyTorch's names `exp_avg.KEY` and `exp_avg_sq.KEY`. Together with the step number they are the
   * complete state.
   */
  state(): Parameter[] {
    return [...this.firstMoments, ...this.secondMoments];
  }

  /**
   * Allocates the moments on `device` and sets them to zero; allocates none of them if memory is insufficient.
   * @throws EvaClipError (as a rejection) `ERR_EVACLIP_OUT_OF_MEMORY` with `details.needed` and `details.free` in bytes.
   */
  async allocate(device: Device): Promise<void> {
    checkArgument("Optimizer.allocate: device", device, aDevice);
    allocateAll(this.state(), device);
    try {
      await initializeParameters(device, this.state());
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Frees the moments. */
  dispose(): void {
    for (const moment of this.state()) moment.dispose();
  }

  /** Records one update of all parameters. */
  update(gradients: readonly Operand[], at: UpdateStep): UpdateReport {
    checkArgument("Optimizer.update: gradients", gradients, operandList);
    checkArgument("Optimizer.update: step", at, aStep);
    const { learningRates, step, copyOf } = at;
    const gradientNorm = globalNorm(gradients);
    const { parameters, firstMoments, secondMoments } = this;
    const moments = { firstMoments, secondMoments };
    const copies = copyOf && parameters.map((parameter) => copyOf(parameter));
    const trustRatios = this.apply({
      parameters,
      gradients,
      ...moments,
      ...(copies?.some((copy) => copy) && { copies }),
      norm: gradientNorm,
      learningRates,
      step,
    });
    return trustRatios ? { gradientNorm, trustRatios } : { gradientNorm };
  }

  protected abstract apply(inputs: UpdateInputs): Tensor | undefined;
}
