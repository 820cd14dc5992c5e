import { oneOf, options, ownArgument } from "../arguments";
import { type LambVariant, lambUpdate, type UpdateInputs } from "../ops/optimizer";
import type { Tensor } from "../tensor";
import { Optimizer, type OptimizerOptions, optimizerFields } from "./optimizer";
import type { ParameterRule } from "./parameter_groups";

export interface LambOptions extends OptimizerOptions {
  /**
   * `paper` (You et al. 2020), `apex` (the default, also timm's), or `deepspeed`, which trained the released models: trust
   * ratios are clamped to [0.01, 10] and computed before the bias correction.
   */
  variant?: LambVariant;
  /** Which parameters use a trust ratio. Default: `decayed` for apex, as in Apex; `all` for the other variants. */
  adapt?: "all" | "decayed";
}

const lambOptions = options({
  ...optimizerFields,
  variant: oneOf("paper", "apex", "deepspeed").optional(),
  adapt: oneOf("all", "decayed").optional(),
}).optional();

/** LAMB: layer-wise adaptive moments for large batches (You et al. 2020, algorithm 2). */
export class Lamb extends Optimizer {
  private readonly variant: LambVariant;
  private readonly adapted: NonNullable<LambOptions["adapt"]>;
  private readonly adapt: readonly number[];

  constructor(rules: readonly ParameterRule[], how: LambOptions = {}) {
    const given = ownArgument("Lamb: options", how, lambOptions);
    const { variant = "apex", adapt = variant === "apex" ? "decayed" : "all", ...shared } = given;
    super(rules, shared);
    this.variant = variant;
    this.adapted = adapt;
    this.adapt = this.settings.weightDecays.map((decay) => (adapt === "all" || decay !== 0 ? 1 : 0));
  }

  override describe(): ReturnType<Optimizer["describe"]> {
    return { ...super.describe(), optimizer: "lamb", variant: this.variant, adapt: this.adapted };
  }

  protected apply(inputs: UpdateInputs): Tensor {
    return lambUpdate(inputs, { ...this.settings, adapt: this.adapt, variant: this.variant });
  }
}
