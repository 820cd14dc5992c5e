import { EvaClipError } from "../errors";
import { EMA_NAMES, takesEma, type WeightsChoice } from "./moving_average";
import type { TensorSource } from "./tensor_source";

/** Name parts that torch.compile, FSDP, DeepSpeed, activation checkpointing and DataParallel insert. */
const WRAPPERS: ReadonlySet<string> = new Set([
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_forward_module",
  "_checkpoint_wrapped_module",
  "module",
]);
/** Prefixes under which trainers store a model: only if every name has it, because a module may have the same name. */
const CONTAINERS: readonly string[] = ["model", "state_dict", "model_state_dict"];
const MAX_CONTAINERS = 8;

/** A tensor's name in the model itself. */
function unwrapped(name: string): string {
  const parts = name.split(".");
  const last = parts.pop()!;
  return [...parts.filter((part) => !WRAPPERS.has(part)), last].join(".");
}

/** A tensor's stored name, and the same without wrappers. */
interface Named {
  readonly stored: string;
  readonly name: string;
}

const frontOf = (fronts: readonly string[], name: string) =>
  fronts.find((front) => name.startsWith(`${front}.`));
const without = (front: string, { stored, name }: Named) => ({ stored, name: name.slice(front.length + 1) });

/** The names without containers, of the chosen weights. */
function withoutContainers(all: readonly Named[], path: string, choice: WeightsChoice): readonly Named[] {
  let names = all;
  let isChosen = choice.ema !== true;
  for (let depth = 0; depth < MAX_CONTAINERS && names.length > 0; depth++) {
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

/** Tensors by their names in the model itself. */
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
      const problem = `${path} has the tensor "${name}" twice: as "${stored}", and under another name once wrapper prefixes are removed`;
      throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", problem, { path, tensor: name });
    }
    found.set(name, tensor);
  }
  return found;
}

/**
 * The same tensors under their names in the model itself, without `module.`, `_orig_mod.` and the like. If there are both
 * weights and their moving average (`ema.`), only the chosen ones.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` when two tensors then have the same name;
 *   `ERR_EVACLIP_CHECKPOINT_MISMATCH` when there are both kinds and `choice` does not choose
 */
export function withoutWrapperNames(source: TensorSource, choice: WeightsChoice = {}): TensorSource {
  const tensors = unwrapNames(source.tensors, source.path, source.isAverage ? {} : choice);
  const isSame = tensors.size === source.tensors.size;
  if (isSame && [...tensors.keys()].every((name) => source.tensors.has(name))) return source;
  const close = () => source.close();
  const { path, format, metadata } = source;
  return { path, format, metadata, tensors, close, [Symbol.asyncDispose]: close };
}
