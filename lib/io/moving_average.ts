import { EvaClipError } from "../errors";

/** Keys under which trainers store an exponential moving average of the weights, with or instead of the weights. */
export const EMA_NAMES: readonly string[] = [
  "model_ema",
  "ema_model",
  "state_dict_ema",
  "ema_state_dict",
  "ema",
];

/** Which weights to read from a file that may have both the raw ones and their exponential moving average. */
export interface WeightsChoice {
  /** True for the moving average, false for the raw weights. Not needed for a file that has only one of them. */
  readonly ema?: boolean | undefined;
}

/** The names under which a file has its raw weights and their average. */
interface Held {
  readonly trained?: string | undefined;
  readonly averaged?: string | undefined;
}

/**
 * Whether to read the moving average: as chosen, or because the file has nothing else.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` if the file has both and `ema` is not given, or lacks the chosen one
 */
export function takesEma(path: string, { trained, averaged }: Held, { ema }: WeightsChoice): boolean {
  const details = { path, trained, averaged };
  if (trained !== undefined && averaged !== undefined) {
    if (ema !== undefined) return ema;
    const message =
      `${path} has both the raw weights ("${trained}") and their exponential moving average ("${averaged}"): ` +
      "choose with --ema (ema: true) for the average or --no-ema (ema: false) for the raw weights";
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, details);
  }
  const isAverage = averaged !== undefined;
  if (ema === undefined || ema === isAverage) return isAverage;
  const found = isAverage ? `only a moving average ("${averaged}")` : "no moving average";
  const message = `${path} has ${found} of the weights, but ema is ${ema}`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", message, details);
}
