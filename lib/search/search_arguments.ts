import { abortSignal, options, ownArgument, positiveInteger, text } from "../arguments";
import type { NearestOptions } from "./vector_store";

const DEFAULT_COUNT = 10;

const nearestOptions = options({
  count: positiveInteger.optional(),
  where: text.min(1).optional(),
  signal: abortSignal.optional(),
});

/** The checked options of `nearest`. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function nearestArguments(given: NearestOptions): NearestOptions & { readonly count: number } {
  const own = ownArgument("nearest: options", given, nearestOptions);
  return { ...own, count: own.count ?? DEFAULT_COUNT };
}
