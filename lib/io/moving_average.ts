import { EvaClipError } from "../errors";

/** Where trainers keep an exponential moving average of the weights, beside the weights or in their place. */
export const EMA_NAMES: readonly string[] = [
  "model_ema",
  "ema_model",
  "state_dict_ema",
  "ema_state_dict",
  "ema",
];

/** Which weights of a file are meant, where it holds them as they were trained and as an exponential moving average. */
export interface WeightsChoice {
  /** True for the moving average. A file that holds one of the two needs no choice. */
  readonly ema?: boolean | undefined;
}

/** What a file calls its weights, as they were trained and averaged. */
interface Held {
  readonly trained?: string | undefined;
  readonly averaged?: string | undefined;
}

/**
 * Whether to take the moving average: what was asked for, or the only weights there are.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` where there are both and none was asked for, or not the one that was
 */
export function takesEma(path: string, { trained, averaged }: Held, { ema }: WeightsChoice): boolean {
  const details = { path, trained, averaged };
  if (trained !== undefined && averaged !== undefined) {
    if (ema !== undefined) return ema;
    const message =
      `${path} holds weights as they were trained ("${trained}") and their exponential moving average ("${averaged}"): ` +
      "say which are meant: --ema (ema: true) for the average, --no-ema (ema: false) for the others";
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, details);
  }
  const isAverage = averaged !== undefined;
  if (ema === undefined || ema === isAverage) return isAverage;
  const found = isAverage ? `only a moving average ("${averaged}")` : "no moving average";
  const message = `${path} holds ${found} of weights, and ema ${ema} was asked for`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, details);
}
