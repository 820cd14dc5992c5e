// The package's types under strict TypeScript.
import { EvaClip, EvaClipError, type TrainEvent, train } from "eva-clip";

export async function embed(caption: string): Promise<Float32Array> {
  await using model = await EvaClip.create("EVA02-CLIP-B-16", { device: "cpu" });
  return model.encodeText(caption);
}

export function describe(error: unknown): string {
  return error instanceof EvaClipError ? error.code : String(error);
}

export type Event = TrainEvent;
export const start = train;
