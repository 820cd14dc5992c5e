import { type LambVariant, lambUpdate, type UpdateInputs } from "../ops/optimizer";
import { Optimizer, type OptimizerOptions } from "./optimizer";
import type { ParameterRule } from "./parameter_groups";

export interface LambOptions extends OptimizerOptions {
  /**
   * `paper`: every tensor has a trust ratio (You et al. 2020); `apex`: none for tensors that are exempt from decay;
   * `deepspeed`: every tensor, clamped to 0.01 … 10, with the bias correction outside the ratio.
   */
  variant?: LambVariant;
}

/** LAMB: layer-wise adaptive moments for large batches (You et al. 2020, algorithm 2). */
export class Lamb extends Optimizer {
  private readonly variant: LambVariant;
  private readonly adapt: readonly number[];

  constructor(rules: readonly ParameterRule[], { variant = "apex", ...options }: LambOptions = {}) {
    super(rules, options);
    this.variant = variant;
    this.adapt = rules.map(({ exempt }) => (variant === "apex" && exempt ? 0 : 1));
  }

  protected apply(inputs: UpdateInputs): void {
    lambUpdate(inputs, { ...this.settings, adapt: this.adapt, variant: this.variant });
  }
}
