import { z } from "zod";
import {
  abortSignal,
  checkArgument,
  instanceOf,
  listOf,
  oneOf,
  options as optionsOf,
  ownArgument,
  reading,
  text,
} from "../arguments";
import { convertElements } from "../io/convert_elements";
import { readFloat32, type TensorSource } from "../io/tensor_source";
import { ClipModel } from "../models/clip_model";
import type { Parameter } from "../parameter";
import { tensorSource } from "./config/config_argument";
import { type Assignment, type LoadPlan, type LoadWeightsOptions, planLoad } from "./load_plan";
import type { LoadReport } from "./load_report";
import { detectLayout } from "./layouts/detect_layout";

const names = listOf(text, "a list of names");
const loadWeightsOptions = optionsOf({
  towers: oneOf("both", "image", "text").optional(),
  skip: names.optional(),
  allowMissing: z.union([z.literal(true), names], { error: "a list of names, or true" }).optional(),
  signal: abortSignal.optional(),
});

async function write(parameter: Parameter, values: Float32Array): Promise<void> {
  if (parameter.dtype === "f32") return parameter.write(values);
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  await parameter.write(convertElements(`parameter ${parameter.name}`, bytes, "F32", "BF16") as Uint16Array);
}

async function carryOut({ parameter, tensors, transpose, resizing }: Assignment): Promise<void> {
  for (const tensor of tensors) await tensor.check?.();
  if (resizing) {
    const current = resizing.keepsRows ? ((await parameter.read()).data as Float32Array) : undefined;
    await write(parameter, resizing.apply(await readFloat32(tensors[0]!), current));
    return;
  }
  const share = parameter.size / tensors.length;
  await parameter.load(tensors.map((tensor, i) => ({ tensor, transpose, at: i * share })));
}

/** Reads the parameters one at a time, converting each. */
export async function carryOutLoad(plan: Pick<LoadPlan, "assignments">, signal?: AbortSignal): Promise<void> {
  for (const assignment of plan.assignments) {
    signal?.throwIfAborted();
    await carryOut(assignment);
  }
}

/**
 * Loads a model's parameters, which must be allocated, from a file in any known layout. Everything is checked before the
 * first one changes. Position embeddings, patch projections and contexts of another size are resized; parameters that the
 * file does not have keep their values.
 *
 * @param source what `openWeights` returns
 * @returns the origin of every parameter, and the use of every tensor
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming missing and unexpected tensors and shape mismatches;
 *   `ERR_EVACLIP_CHECKPOINT_CORRUPT` or `ERR_EVACLIP_IO` for the file itself
 */
export async function loadWeights(
  model: ClipModel,
  source: TensorSource,
  options: LoadWeightsOptions = {},
): Promise<LoadReport> {
  checkArgument("loadWeights: model", model, instanceOf(ClipModel));
  checkArgument("loadWeights: source", source, tensorSource);
  const given = ownArgument("loadWeights: options", options, loadWeightsOptions);
  const own = reading("loadWeights: source", () => ({ path: source.path, tensors: source.tensors }));
  const layout = detectLayout(own.tensors.keys(), own.path);
  const plan = planLoad(model, own, layout, given);
  await carryOutLoad(plan, given.signal);
  return plan.report;
}
