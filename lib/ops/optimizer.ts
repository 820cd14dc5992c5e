import { checkArgument, finiteNumber, listOf, oneOf, options } from "../arguments";
import { anOperand, apply, numberAttribute, type Operand, operandList, type Tensor } from "../tensor";

/** The inputs that LAMB and AdamW share. Lists have one entry per parameter. */
export interface UpdateInputs {
  /** f32, changed in place. */
  parameters: readonly Operand[];
  gradients: readonly Operand[];
  /** f32, changed in place. */
  firstMoments: readonly Operand[];
  /** f32, changed in place. */
  secondMoments: readonly Operand[];
  /** bf16 parameters of the same shapes, which become the rounded new values; undefined where there is none. */
  copies?: readonly (Operand | undefined)[];
  /** [] f32: the global gradient norm. If it is not finite, the update is skipped. */
  norm: Operand;
  /** [parameters] f32: the learning rate of each parameter at this step, with any schedule multiplied in. */
  learningRates: Operand;
  /** [] i32: 1 for the first update. */
  step: Operand;
}

/** The settings that LAMB and AdamW share. */
export interface UpdateSettings {
  weightDecays: readonly number[];
  beta1: number;
  beta2: number;
  eps: number;
  /** Gradients are scaled down to this global norm; 0: no clipping. */
  clipNorm: number;
}

export type LambVariant = "paper" | "apex" | "deepspeed";

export interface LambSettings extends UpdateSettings {
  /** Per parameter: 1 to apply its trust ratio, 0 to use 1 instead. */
  adapt: readonly number[];
  variant: LambVariant;
}

/** Lists have one entry per average. */
export interface EmaInputs {
  /** f32, changed in place. */
  averages: readonly Operand[];
  /** f32, the same shapes. */
  parameters: readonly Operand[];
  /** [] f32: the norm of all gradients of the update. When it is not finite, nothing changes. */
  norm: Operand;
}

const numbers = listOf(finiteNumber, "a list of numbers");
const updateInputs = options({
  parameters: operandList,
  gradients: operandList,
  firstMoments: operandList,
  secondMoments: operandList,
  copies: listOf(anOperand.optional(), "a list of tensors, parameters and undefined").optional(),
  norm: anOperand,
  learningRates: anOperand,
  step: anOperand,
});
const emaInputs = options({ averages: operandList, parameters: operandList, norm: anOperand });
const settingsFields = {
  weightDecays: numbers,
  beta1: finiteNumber,
  beta2: finiteNumber,
  eps: finiteNumber,
  clipNorm: finiteNumber,
};
const updateSettings = options(settingsFields);
const lambSettings = options({
  ...settingsFields,
  adapt: numbers,
  variant: oneOf("paper", "apex", "deepspeed"),
});

function namedInputs(inputs: UpdateInputs) {
  const { firstMoments, secondMoments, learningRates, copies = [], ...rest } = inputs;
  const renamed = {
    copies,
    first_moments: firstMoments,
    second_moments: secondMoments,
    learning_rates: learningRates,
  };
  return { ...rest, ...renamed };
}

function namedSettings(settings: UpdateSettings) {
  const { weightDecays, beta1, beta2, eps, clipNorm } = settings;
  return { weight_decays: weightDecays, beta1, beta2, eps, clip_norm: clipNorm };
}

/** The global norm of the gradients: the square root of the sum of all squared elements. → [] f32 */
export function globalNorm(gradients: readonly Operand[]): Tensor {
  checkArgument("ops.globalNorm: gradients", gradients, operandList);
  return apply("global_norm", { gradients }).norm;
}

/**
 * One step of LAMB, with a trust ratio per parameter (You et al. 2020, algorithm 2); csrc/ops/optimizer.h defines the
 * variants. → the trust ratios, [parameters] f32
 */
export function lambUpdate(inputs: UpdateInputs, settings: LambSettings): Tensor {
  checkArgument("ops.lambUpdate: inputs", inputs, updateInputs);
  checkArgument("ops.lambUpdate: settings", settings, lambSettings);
  const { adapt, variant } = settings;
  const attributes = { ...namedSettings(settings), adapt, variant };
  return apply("lamb_update", namedInputs(inputs), attributes).trust_ratios;
}

/** One step of AdamW (Loshchilov and Hutter 2019, algorithm 2). */
export function adamwUpdate(inputs: UpdateInputs, settings: UpdateSettings): void {
  checkArgument("ops.adamwUpdate: inputs", inputs, updateInputs);
  checkArgument("ops.adamwUpdate: settings", settings, updateSettings);
  apply("adamw_update", namedInputs(inputs), namedSettings(settings));
}

/** Clamps f32 parameters to [minimum, maximum] in place. */
export function clampUpdate(parameters: readonly Operand[], minimum: number, maximum: number): void {
  checkArgument("ops.clampUpdate: parameters", parameters, operandList);
  checkArgument("ops.clampUpdate: minimum", minimum, numberAttribute);
  checkArgument("ops.clampUpdate: maximum", maximum, numberAttribute);
  apply("clamp_update", { parameters }, { minimum, maximum });
}

/** Moving averages of parameters, after their update: averages[i] += (1 - decay) (parameters[i] - averages[i]) in place. */
export function emaUpdate(inputs: EmaInputs, decay: number): void {
  checkArgument("ops.emaUpdate: inputs", inputs, emaInputs);
  checkArgument("ops.emaUpdate: decay", decay, numberAttribute);
  const { averages, parameters, norm } = inputs;
  apply("ema_update", { averages, parameters, norm }, { decay });
}
