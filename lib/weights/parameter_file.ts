import { isDerived } from "./layouts/layout";
import { Mismatch } from "./mismatch";
import { sameShape } from "./resize";
import { EvaClipError } from "../errors";
import { openSafetensors, writeSafetensors } from "../io/safetensors";
import { isFloatDtype, type TensorSource } from "../io/tensor_source";
import type { Parameter } from "../parameter";
import { combineCrcs, inspectTensor } from "./tensor_check";

function storedDtype({ dtype }: Parameter): "BF16" | "F32" {
  return dtype === "bf16" ? "BF16" : "F32";
}

/**
 * Writes parameters under their names, reading them from the device one at a time.
 * @returns a checksum of all values, for `readParameters`
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` when a value is NaN or infinite; the file is then removed
 */
export async function writeParameters(
  path: string,
  parameters: readonly Parameter[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<number> {
  const crcs = new Array<number>(parameters.length).fill(0);
  const tensors = parameters.map((parameter, i) => ({
    name: parameter.name,
    shape: parameter.shape,
    dtype: storedDtype(parameter),
    data: async () => {
      const { values, crc } = await readFinite(parameter);
      crcs[i] = crc;
      return values;
    },
  }));
  await writeSafetensors(path, tensors, metadata);
  return combineCrcs(crcs);
}

/** A parameter's values and their checksum. @throws EvaClipError `ERR_EVACLIP_NOT_FINITE`. */
async function readFinite(parameter: Parameter) {
  const values = (await parameter.read()).data as Float32Array | Uint16Array;
  const { crc, nonFinite } = await inspectTensor(values);
  if (nonFinite < 0) return { values, crc };
  const { name } = parameter;
  const message = `${name} holds a value that is not finite (the first at element ${nonFinite})`;
  throw new EvaClipError("ERR_EVACLIP_NOT_FINITE", message, { parameter: name, element: nonFinite });
}

/**
 * Checks that a file holds exactly these parameters, in these shapes.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming missing, unknown and misshapen tensors;
 *   `ERR_EVACLIP_CHECKPOINT_CORRUPT`; `ERR_EVACLIP_IO`
 */
export async function checkParameterFile(path: string, parameters: readonly Parameter[]): Promise<void> {
  await using file = await openSafetensors(path);
  checkTensors(file, parameters);
}

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
 * Fills allocated parameters from a file. Names and shapes are checked before the first parameter changes; other
 * floating-point types are converted.
 *
 * @param checksum the result of `writeParameters`, if it is known
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming missing, unknown and misshapen tensors;
 *   `ERR_EVACLIP_CHECKPOINT_CORRUPT` for a damaged file, values that are not finite or another checksum; `ERR_EVACLIP_IO`
 */
export async function readParameters(
  path: string,
  parameters: readonly Parameter[],
  checksum?: number,
): Promise<void> {
  await using file = await openSafetensors(path);
  checkTensors(file, parameters);
  const crcs: number[] = [];
  for (const parameter of parameters) {
    await parameter.load([{ tensor: file.tensors.get(parameter.name)! }]);
    const { crc } = await readFinite(parameter).catch((error: Error) => {
      throw corrupt(path, error.message);
    });
    crcs.push(crc);
  }
  const isVerbatim = parameters.every(
    (parameter) => file.tensors.get(parameter.name)!.dtype === storedDtype(parameter),
  );
  if (checksum === undefined || !isVerbatim || combineCrcs(crcs) === checksum) return;
  throw corrupt(path, "has changed since it was written: its checksum is not that of trainer_state.json");
}

function corrupt(path: string, problem: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", `${path}: ${problem}`, { path });
}
