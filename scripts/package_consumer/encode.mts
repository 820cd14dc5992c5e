// The package's types under strict TypeScript.
import { type ErrorCode, EvaClip, isEvaClipError } from "eva-clip";
import { type Dataset, SampleError } from "eva-clip/data";
import { grad, Module, type Parameter, type Tensor } from "eva-clip/graph";
import { type Match, openIndex, type VectorStore } from "eva-clip/search";
import { Batcher, createHandler, type RequestHandler, serve } from "eva-clip/serve";
import { type TrainEvent, train } from "eva-clip/train";
import { openWeights, type TensorSource } from "eva-clip/weights";

export async function embed(caption: string): Promise<Float32Array> {
  await using model = await EvaClip.create("EVA02-CLIP-B-16", { device: "cpu" });
  return model.encodeText(caption);
}

export function describe(error: unknown): ErrorCode | undefined {
  return isEvaClipError(error) ? error.code : undefined;
}

/** As many gradients as operands, without assertions. */
export function gradients(loss: Tensor, weight: Parameter, bias: Parameter): readonly [Tensor, Tensor] {
  const [dWeight, dBias] = grad(loss, [weight, bias]);
  return [dWeight, dBias];
}

export abstract class Layer extends Module {
  abstract forward(x: Tensor): Tensor;
}

export const open = (path: string): Promise<TensorSource> => openWeights(path);
export const skipped = (): Error => new SampleError("missing_image", "no image");
export type Samples = ReturnType<Dataset["open"]>;

export type Event = TrainEvent;
export const start = train;

export const answer = (model: EvaClip): RequestHandler => createHandler({ small: model }, { page: true });
export const listen = (model: EvaClip): ReturnType<typeof serve> => serve(answer(model), { port: 0 });
export const batched = (model: EvaClip): Promise<Float32Array> => new Batcher(model).encodeText("a cat");

export async function find(path: string, query: Float32Array): Promise<Match | undefined> {
  await using index: VectorStore = await openIndex(path);
  const [matches] = await index.nearest([query], { count: 1 });
  return matches?.[0];
}
