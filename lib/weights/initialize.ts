import { checkArgument, instanceOf, options, ownArgument } from "../arguments";
import type { Device } from "../device";
import { ClipModel } from "../models/clip_model";
import { initializeParameters, seed32 } from "../nn/initialize_parameters";
import { aDevice, allocateAll, floatDtype } from "../parameter";

export interface AllocateOptions {
  /** `bf16` keeps matrices and embedding tables in 16 bits, for inference. Default `f32`, which training needs. */
  dtype?: "f32" | "bf16";
}

const allocateFields = { dtype: floatDtype.optional() };
const allocateOptions = options(allocateFields).optional();
const initializeOptions = options({ ...allocateFields, seed: seed32.optional() }).optional();

function checkModelAndDevice(caller: string, model: ClipModel, device: Device): void {
  checkArgument(`${caller}: model`, model, instanceOf(ClipModel));
  checkArgument(`${caller}: device`, device, aDevice);
}

/**
 * Allocates all parameters on `device`, or none if memory is insufficient; their content is undefined.
 * @throws EvaClipError `ERR_EVACLIP_OUT_OF_MEMORY` with `details.needed` and `details.free` in bytes.
 */
export function allocateModel(model: ClipModel, device: Device, given: AllocateOptions = {}): void {
  checkModelAndDevice("allocateModel", model, device);
  allocate(model, device, ownArgument("allocateModel: options", given, allocateOptions));
}

function allocate(model: ClipModel, device: Device, { dtype = "f32" }: AllocateOptions): void {
  allocateAll(model.parameters(), device, ({ role }) => (role?.bf16 ? dtype : "f32"));
}

/**
 * Allocates the parameters on `device` and sets their initial values, a function of the seed alone.
 * @throws EvaClipError (as a rejection) as `allocateModel`; the parameters then have no memory
 */
export async function initializeModel(
  model: ClipModel,
  device: Device,
  given: AllocateOptions & { seed?: number } = {},
): Promise<void> {
  checkModelAndDevice("initializeModel", model, device);
  const own = ownArgument("initializeModel: options", given, initializeOptions);
  const { seed = 0 } = own;
  allocate(model, device, own);
  try {
    await initializeParameters(device, model.parameters(), seed);
  } catch (error) {
    model.dispose();
    throw error;
  }
}
