import type { Device } from "../device";
import type { ClipModel } from "../models/clip_model";
import { initializeParameters } from "../nn/initialize_parameters";
import type { Parameter } from "../parameter";

export interface AllocateOptions {
  /** `bf16` keeps matrices and embedding tables in 16 bits, for inference. Default `f32`, which training needs. */
  dtype?: "f32" | "bf16";
}

/** Vectors, positions and the class token are read in f32; only the large matrices gain from 16 bits. */
function isMatrix({ name, shape }: Parameter): boolean {
  return shape.length >= 2 && name.endsWith("weight");
}

/** Gives the parameters memory on `device`; their content is undefined. @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY`. */
export function allocateModel(
  model: ClipModel,
  device: Device,
  { dtype = "f32" }: AllocateOptions = {},
): void {
  const allocated: Parameter[] = [];
  try {
    for (const parameter of model.parameters()) {
      parameter.allocate(device, isMatrix(parameter) ? dtype : "f32");
      allocated.push(parameter);
    }
  } catch (error) {
    for (const parameter of allocated) parameter.dispose();
    throw error;
  }
}

/** Gives the parameters memory on `device` and their initial values, a function of the seed alone. */
export async function initializeModel(
  model: ClipModel,
  device: Device,
  { seed = 0, ...options }: AllocateOptions & { seed?: number } = {},
): Promise<void> {
  allocateModel(model, device, options);
  await initializeParameters(device, model.parameters(), seed);
}
