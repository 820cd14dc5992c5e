import { isDerived } from "../checkpoints/layout";
import { Mismatch } from "../checkpoints/mismatch";
import { sameShape } from "../checkpoints/resizing";
import { openSafetensors, writeSafetensors } from "../io/safetensors";
import { isFloatDtype, type TensorSource } from "../io/tensor_source";
import type { Parameter } from "../parameter";

/** Writes parameters under their names, read from the device one at a time. */
export async function writeParameters(
  path: string,
  parameters: readonly Parameter[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const tensors = parameters.map(({ name, shape, dtype }, i) => ({
    name,
    shape,
    dtype: dtype === "bf16" ? ("BF16" as const) : ("F32" as const),
    data: async () => (await parameters[i]!.read()).data as Float32Array | Uint16Array,
  }));
  await writeSafetensors(path, tensors, metadata);
}

/** Throws ERR_EVACLIP_CHECKPOINT_MISMATCH unless the file holds exactly these parameters in these shapes. */
function checkTensors({ path, tensors }: TensorSource, parameters: readonly Parameter[]): void {
  const mismatch = new Mismatch();
  for (const { name, shape } of parameters) {
    const found = tensors.get(name);
    if (!found) mismatch.missing.push(name);
    else if (!sameShape(found.shape, shape)) mismatch.addShape(name, shape, found.shape);
    else if (!isFloatDtype(found.dtype)) mismatch.notFloat.push(name);
  }
  const expected = new Set(parameters.map(({ name }) => name));
  const others = [...tensors.keys()].filter((name) => !expected.has(name) && !isDerived(name));
  mismatch.unexpected.push(...others);
  mismatch.check(path);
}

/**
 * Fills parameters, which must have storage, from a file; everything is checked before the first is changed. Other
 * floating-point types are converted.
 *
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming missing, unknown and misshapen tensors;
 *   `ERR_EVACLIP_CHECKPOINT_CORRUPT` or `ERR_EVACLIP_IO` for the file itself
 */
export async function readParameters(
  path: string,
  parameters: readonly Parameter[],
  signal?: AbortSignal,
): Promise<void> {
  await using file = await openSafetensors(path);
  checkTensors(file, parameters);
  for (const parameter of parameters) {
    signal?.throwIfAborted();
    await parameter.load([{ tensor: file.tensors.get(parameter.name)! }]);
  }
}
