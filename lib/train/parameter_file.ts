import { EvaClipError } from "../errors";
import { openSafetensors, writeSafetensors } from "../io/safetensors";
import { isFloatDtype, type TensorSource } from "../io/tensor_source";
import type { Parameter } from "../parameter";

/** Tensors of published files that are derived from the configuration, and so are never read. */
const DERIVED = /(^|\.)(rope\.freqs_(cos|sin)|attn_mask|input_resolution|context_length|vocab_size)$/;

const SHOWN_NAMES = 5;

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

function list(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_NAMES).join(", ");
  return names.length > SHOWN_NAMES ? `${shown} and ${names.length - SHOWN_NAMES} more` : shown;
}

/** A scalar may be stored with one dimension of 1. */
function sameShape(a: readonly number[], b: readonly number[]): boolean {
  const significant = (shape: readonly number[]) => (shape.length === 1 && shape[0] === 1 ? [] : shape);
  return significant(a).join() === significant(b).join();
}

/** Throws ERR_EVACLIP_CHECKPOINT_MISMATCH unless the file holds exactly these parameters in these shapes. */
function checkTensors(file: TensorSource, parameters: readonly Parameter[]): void {
  const expected = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const missing = [...expected.keys()].filter((name) => !file.tensors.has(name));
  const extra = [...file.tensors.keys()].filter((name) => !expected.has(name) && !DERIVED.test(name));
  const misshapen = [...expected.values()].flatMap(({ name, shape }) => {
    const found = file.tensors.get(name);
    if (!found || sameShape(found.shape, shape)) return [];
    return [`${name} (expected [${shape.join(", ")}], found [${found.shape.join(", ")}])`];
  });
  const unreadable = [...expected.keys()].filter((name) => {
    const found = file.tensors.get(name);
    return found && !isFloatDtype(found.dtype);
  });
  const problems = [
    missing.length > 0 && `missing ${list(missing)}`,
    extra.length > 0 && `unknown ${list(extra)}`,
    misshapen.length > 0 && `of another shape ${list(misshapen)}`,
    unreadable.length > 0 && `not floating-point ${list(unreadable)}`,
  ].filter((problem) => problem !== false);
  if (problems.length === 0) return;
  throw new EvaClipError(
    "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    `${file.path} does not fit the model: tensors ${problems.join("; ")}`,
    { path: file.path, missing, extra, misshapen },
  );
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
