import { globalNorm, type UpdateInputs, type UpdateSettings } from "../ops/optimizer";
import { Parameter } from "../parameter";
import type { Operand, Tensor } from "../tensor";
import type { ParameterRule } from "./parameter_groups";

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
}

/** Updates parameters from their gradients, and owns the moments it needs for that. */
export abstract class Optimizer {
  /** What is updated, in the order in which gradients are given. */
  readonly parameters: readonly Parameter[];
  private readonly firstMoments: readonly Parameter[];
  private readonly secondMoments: readonly Parameter[];
  protected readonly settings: UpdateSettings;

  /** The defaults are those of the released EVA-CLIP models. */
  constructor(rules: readonly ParameterRule[], options: OptimizerOptions = {}) {
    const { beta1 = 0.9, beta2 = 0.98, eps = 1e-6, clipNorm = 0 } = options;
    const moments = (kind: string) =>
      rules.map(({ parameter: { name, shape } }) => new Parameter(`${kind}.${name}`, shape));
    this.parameters = rules.map(({ parameter }) => parameter);
    this.firstMoments = moments("first_moment");
    this.secondMoments = moments("second_moment");
    this.settings = {
      learningRates: rules.map(({ learningRate }) => learningRate),
      weightDecays: rules.map(({ weightDecay }) => weightDecay),
      beta1,
      beta2,
      eps,
      clipNorm,
    };
  }

  /** The moments: everything that a checkpoint needs besides the step. They start at zero. */
  state(): Parameter[] {
    return [...this.firstMoments, ...this.secondMoments];
  }

  /** Records one update of all parameters. */
  update(gradients: readonly Operand[], { schedule, step }: UpdateStep): UpdateReport {
    const gradientNorm = globalNorm(gradients);
    const { parameters, firstMoments, secondMoments } = this;
    this.apply({ parameters, gradients, firstMoments, secondMoments, norm: gradientNorm, schedule, step });
    return { gradientNorm };
  }

  protected abstract apply(inputs: UpdateInputs): void;
}
