import { EvaClipError } from "../errors";
import { EMA_NAMES, takesEma, type WeightsChoice } from "./moving_average";
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

/** A tensor's name as it is stored, and what is left of it without wrappers. */
interface Named {
  readonly stored: string;
  readonly name: string;
}

const frontOf = (fronts: readonly string[], name: string) =>
  fronts.find((front) => name.startsWith(`${front}.`));
const without = (front: string, { stored, name }: Named) => ({ stored, name: name.slice(front.length + 1) });

/** The names without containers, of the weights that are meant. */
function withoutContainers(all: readonly Named[], path: string, choice: WeightsChoice): readonly Named[] {
  let names = all;
  let isChosen = choice.ema !== true;
  for (let depth = 0; depth < MOST_CONTAINERS && names.length > 0; depth++) {
    const container = CONTAINERS.find((front) => names.every(({ name }) => frontOf([front], name)));
    const average = names.map(({ name }) => frontOf(EMA_NAMES, name)).find((front) => front !== undefined);
    if (container !== undefined) {
      names = names.map((named) => without(container, named));
    } else if (average !== undefined) {
      const [averaged, trained] = [true, false].map((wanted) =>
        names.filter(({ name }) => (frontOf([average], name) !== undefined) === wanted),
      ) as [Named[], Named[]];
      const held = { averaged: averaged[0]!.stored, trained: trained[0]?.stored };
      isChosen = true;
      names = takesEma(path, held, choice) ? averaged.map((named) => without(average, named)) : trained;
    } else break;
  }
  if (!isChosen) takesEma(path, { trained: all[0]?.stored }, choice);
  return names;
}

/** Tensors by the names that they have in the model itself, without those of wrappers around it and its parts. */
function unwrapNames<T>(
  tensors: ReadonlyMap<string, T>,
  path: string,
  choice: WeightsChoice,
): Map<string, T> {
  const all = [...tensors.keys()].map((stored) => ({ stored, name: unwrapped(stored) }));
  const found = new Map<string, T>();
  for (const { stored, name } of withoutContainers(all, path, choice)) {
    const tensor = tensors.get(stored)!;
    if (found.has(name)) {
      const problem = `${path} has the tensor "${name}" twice, once as "${stored}", with and without the name of a wrapper`;
      throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", problem, { path, tensor: name });
    }
    found.set(name, tensor);
  }
  return found;
}

/**
 * The same tensors under the names that they have in the model itself, without `module.`, `_orig_mod.` and the like; of
 * weights and their moving average (`ema.`) those that are meant.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` when two tensors have the same name then;
 *   `ERR_EVACLIP_CHECKPOINT_MISMATCH` when there are both kinds and none was chosen
 */
export function withoutWrapperNames(source: TensorSource, choice: WeightsChoice = {}): TensorSource {
  const tensors = unwrapNames(source.tensors, source.path, source.isAverage ? {} : choice);
  const isSame = tensors.size === source.tensors.size;
  if (isSame && [...tensors.keys()].every((name) => source.tensors.has(name))) return source;
  const close = () => source.close();
  const { path, format, metadata } = source;
  return { path, format, metadata, tensors, close, [Symbol.asyncDispose]: close };
}
