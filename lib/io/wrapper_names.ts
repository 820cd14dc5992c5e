import { EvaClipError } from "../errors";
import type { TensorSource } from "./tensor_source";

/** What torch.compile, FSDP, DeepSpeed, activation checkpointing and DataParallel put into the names of a model's parts. */
const WRAPPERS: ReadonlySet<string> = new Set([
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_forward_module",
  "_checkpoint_wrapped_module",
  "module",
]);
/** Where trainers keep a model: only in front of every name, because a part of a model may be called so as well. */
const CONTAINERS: readonly string[] = ["model", "state_dict", "model_state_dict"];
const MOST_CONTAINERS = 8;

/** The name a tensor has in the model itself, unless nothing would be left of it. */
function unwrapped(name: string): string {
  const parts = name.split(".");
  const last = parts.pop()!;
  return [...parts.filter((part) => !WRAPPERS.has(part)), last].join(".");
}

/** Tensors by the names that they have in the model itself, without those of wrappers around it and its parts. */
function unwrapNames<T>(tensors: ReadonlyMap<string, T>, path: string): Map<string, T> {
  let names = [...tensors.keys()].map(unwrapped);
  for (let depth = 0; depth < MOST_CONTAINERS && names.length > 0; depth++) {
    const container = CONTAINERS.find((front) => names.every((name) => name.startsWith(`${front}.`)));
    if (container === undefined) break;
    names = names.map((name) => name.slice(container.length + 1));
  }
  const found = new Map<string, T>();
  for (const [i, [stored, tensor]] of [...tensors].entries()) {
    const name = names[i]!;
    if (found.has(name)) {
      const problem = `${path} has the tensor "${name}" twice, once as "${stored}", with and without the name of a wrapper`;
      throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", problem, { path, tensor: name });
    }
    found.set(name, tensor);
  }
  return found;
}

/**
 * The same tensors under the names that they have in the model itself, without `module.`, `_orig_mod.` and the like.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` when two tensors have the same name then
 */
export function withoutWrapperNames(source: TensorSource): TensorSource {
  const tensors = unwrapNames(source.tensors, source.path);
  if ([...tensors.keys()].every((name) => source.tensors.has(name))) return source;
  const close = () => source.close();
  const { path, format, metadata } = source;
  return { path, format, metadata, tensors, close, [Symbol.asyncDispose]: close };
}
