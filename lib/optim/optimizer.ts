import { checkArgument, finiteNumber, options as optionsOf, ownArgument } from "../arguments";
import type { Device } from "../device";
import { EvaClipError } from "../errors";
import { zeros } from "../nn/initialization";
import { initializeParameters } from "../nn/initialize_parameters";
import { globalNorm, type UpdateInputs, type UpdateSettings } from "../ops/optimizer";
import { aDevice, allocateAll, Parameter } from "../parameter";
import { anOperand, type Operand, operandList, type Tensor } from "../tensor";
import { type ParameterRule, ruleList, type Tower } from "./parameter_groups";

export interface OptimizerOptions {
  beta1?: number;
  beta2?: number;
  eps?: number;
  /** Gradients are scaled down to this global norm; 0 leaves them as they are. */
  clipNorm?: number;
}

export interface UpdateStep {
  /** [] f32: the factor of the learning rates at this step. */
  schedule: Operand;
  /** [] i32: 1 for the first update. */
  step: Operand;
}

/** What an update reports. */
export interface UpdateReport {
  /** [] f32: the norm of all gradients before clipping. When it is not finite, nothing was changed. */
  gradientNorm: Tensor;
  /** [parameters] f32, of LAMB: the factor that each tensor's update was scaled by. */
  trustRatios?: Tensor;
}

// As f32: what rounds to 1 there would divide by 0, as what rounds to 0 would.
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
const aStep = optionsOf({ schedule: anOperand, step: anOperand });

/** Updates parameters from their gradients, and owns the moments it needs for that, f32 on the same device. */
export abstract class Optimizer {
  /** What is updated, in the order in which gradients are given. */
  readonly parameters: readonly Parameter[];
  private readonly firstMoments: readonly Parameter[];
  private readonly secondMoments: readonly Parameter[];
  /** Of each parameter. */
  private readonly towers: readonly Tower[];
  protected readonly settings: UpdateSettings;

  /**
   * The defaults are those of the released EVA-CLIP models.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when there is nothing to train, or something twice.
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
    this.towers = rules.map(({ tower }) => tower);
    const names = new Set(this.parameters.map(({ name }) => name));
    if (names.size === 0 || names.size < this.parameters.length) {
      const problem = names.size === 0 ? "no parameter" : "two parameters of one name";
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `the optimizer was given ${problem}`);
    }
    this.firstMoments = moments("exp_avg");
    this.secondMoments = moments("exp_avg_sq");
    this.settings = {
      learningRates: rules.map(({ learningRate }) => learningRate),
      weightDecays: rules.map(({ weightDecay }) => weightDecay),
      beta1,
      beta2,
      eps,
      clipNorm,
    };
  }

  /** The learning rate of the fastest parameter, before the schedule. */
  get learningRate(): number {
    return Math.max(...this.settings.learningRates);
  }

  /** The algorithm and its settings by name, to compare with those of the run that a checkpoint was written by. */
  describe(): Record<string, string | number | Record<string, number[]>> {
    const { learningRates, weightDecays, beta1, beta2, eps, clipNorm } = this.settings;
    /** The distinct values of each tower. */
    const byTower = (values: readonly number[]) => {
      const distinct = (tower: Tower) => new Set(values.filter((_, i) => this.towers[i] === tower));
      return Object.fromEntries(
        [...new Set(this.towers)].map((tower) => [tower, [...distinct(tower)].sort((a, b) => a - b)]),
      );
    };
    return {
      optimizer: this.constructor.name,
      learningRates: byTower(learningRates),
      weightDecays: byTower(weightDecays),
      beta1,
      beta2,
      eps,
      clipNorm,
    };
  }

  /**
   * The moments, under PyTorch's names `exp_avg.KEY` and `exp_avg_sq.KEY`: everything that a checkpoint needs besides
   * the step.
   */
  state(): Parameter[] {
    return [...this.firstMoments, ...this.secondMoments];
  }

  /**
   * Gives the moments memory on `device` and sets them to zero; none keeps memory where there is not enough for all.
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
    const { schedule, step } = at;
    const gradientNorm = globalNorm(gradients);
    const { parameters, firstMoments, secondMoments } = this;
    const moments = { firstMoments, secondMoments };
    const trustRatios = this.apply({
      parameters,
      gradients,
      ...moments,
      norm: gradientNorm,
      schedule,
      step,
    });
    return trustRatios ? { gradientNorm, trustRatios } : { gradientNorm };
  }

  protected abstract apply(inputs: UpdateInputs): Tensor | undefined;
}
