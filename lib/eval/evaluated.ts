import { z } from "zod";
import { abortable, throwIfAborted } from "../abortable";
import { checkArgument } from "../arguments";
import type { Encoder } from "../clip/encoder";
import type { EvaClip } from "../clip/eva_clip";
import { datasetArgument } from "../data/checked_dataset";

/** What can be evaluated: an `EvaClip`, whose `dispose` waits for the evaluation, or another encoder. */
export type Evaluated = Pick<EvaClip, "asOneCall"> | Encoder;

const isSize = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;

function isModel(value: unknown): value is Pick<EvaClip, "asOneCall"> {
  return typeof (value as EvaClip | null | undefined)?.asOneCall === "function";
}

function isEncoder(value: unknown): value is Encoder {
  const { embedDim, imageSize, encodePixels, encodeText, products } = (value ?? {}) as Partial<Encoder>;
  const methods = [encodePixels, encodeText, products];
  return isSize(embedDim) && isSize(imageSize) && methods.every((method) => typeof method === "function");
}

const evaluatedArgument = z.custom<Evaluated>((value) => isModel(value) || isEncoder(value), {
  error: "an EvaClip or another encoder",
});

/** Checks the arguments that every evaluation takes. */
export function checkEvaluated(name: string, evaluated: unknown, dataset: unknown): void {
  checkArgument(`${name}: model`, evaluated, evaluatedArgument);
  checkArgument(`${name}: dataset`, dataset, datasetArgument);
}

/** Runs an evaluation as one call of the model; it rejects as soon as `signal` is aborted. */
export async function useEncoder<T>(
  evaluated: Evaluated,
  signal: AbortSignal | undefined,
  work: (encoder: Encoder) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal);
  return abortable(isModel(evaluated) ? evaluated.asOneCall(work) : work(evaluated), signal);
}
