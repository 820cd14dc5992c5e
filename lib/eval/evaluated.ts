import { z } from "zod";
import { abortable, throwIfAborted } from "../abortable";
import { checkArgument } from "../arguments";
import type { Encoder } from "../clip/encoder";
import { datasetArgument } from "../data/checked_dataset";

const isSize = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const encoderSchema = z.custom<Encoder>(
  (value) => {
    const { embedDim, imageSize, encodePixels, encodeText, products, asOneCall } = (value ??
      {}) as Partial<Encoder>;
    const methods = [encodePixels, encodeText, products, ...(asOneCall === undefined ? [] : [asOneCall])];
    return isSize(embedDim) && isSize(imageSize) && methods.every((method) => typeof method === "function");
  },
  { error: "an EvaClip or another encoder" },
);

/** Checks the arguments that every evaluation takes. */
export function checkEvaluated(name: string, encoder: unknown, dataset: unknown): void {
  checkArgument(`${name}: encoder`, encoder, encoderSchema);
  checkArgument(`${name}: dataset`, dataset, datasetArgument);
}

/** Runs an evaluation as one call of the encoder; it rejects as soon as `signal` is aborted. */
export async function useEncoder<T>(
  encoder: Encoder,
  signal: AbortSignal | undefined,
  work: (encoder: Encoder) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal);
  return abortable(encoder.asOneCall ? encoder.asOneCall(work) : work(encoder), signal);
}
