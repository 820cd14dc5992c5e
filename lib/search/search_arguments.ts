import {
  abortSignal,
  checkArgument,
  options,
  ownArgument,
  pathText,
  positiveInteger,
  text,
} from "../arguments";
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

export interface OpenIndexOptions {
  /** Threads that compare vectors. Default: as many as the process may use. */
  readonly threads?: number;
}

const openIndexOptions = options({ threads: positiveInteger.optional() });

/** The checked options of `openIndex`. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function openIndexArguments(path: string, given: OpenIndexOptions): OpenIndexOptions {
  checkArgument("openIndex: path", path, pathText);
  return ownArgument("openIndex: options", given, openIndexOptions);
}
