import type { Fail } from "../checkpoint_error";
import { EMA_NAMES, takesEma, type WeightsChoice } from "../moving_average";
import { PickleObject, type PickleValue } from "./pickle_value";
import { PickledTensor } from "./pytorch_globals";

/** Keys under which trainers store the state dict, in order of preference. */
const WRAPPERS = ["model", "module", "state_dict", "model_state_dict"] as const;
const MAX_WRAPPERS = 8;
const MAX_MODULE_DEPTH = 64;
const MAX_NAME_LENGTH = 4096;
const MAX_MODULES = 100_000;

export interface StateDict {
  readonly tensors: ReadonlyMap<string, PickledTensor>;
  /** Strings, numbers and booleans next to the weights: `epoch`, `name`, … */
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether the tensors are a moving average of the weights. */
  readonly isAverage: boolean;
}

/**
 * Finds the weights in an object saved by torch.save: descends into dictionaries under `model`, `module`, `state_dict` and
 * `model_state_dict`, or into those of a moving average (`model_ema`, …) if it is chosen. Other values, such as an
 * optimizer's state, are ignored; a weight that is not stored as a plain tensor is an error.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_UNSUPPORTED naming the entry, or the value found instead of weights
 */
export function findStateDict(
  root: PickleValue,
  fail: Fail,
  path = "the file",
  choice: WeightsChoice = {},
): StateDict {
  const metadata: Record<string, string> = {};
  let found = root;
  let isAverage = false;
  for (let depth = 0; depth < MAX_WRAPPERS && found instanceof Map; depth++) {
    collectMetadata(found, metadata);
    const dictionary: ReadonlyMap<PickleValue, PickleValue> = found;
    const trained = WRAPPERS.find((key) => isModel(dictionary.get(key)));
    const averaged = EMA_NAMES.find((key) => isModel(dictionary.get(key)));
    const held = { averaged, trained: trained ?? firstTensorOf(dictionary) };
    const takesAverage = averaged !== undefined && takesEma(path, held, choice);
    isAverage ||= takesAverage;
    const inner = takesAverage ? averaged : trained;
    if (inner === undefined) return { tensors: collectTensors(found, fail), metadata, isAverage };
    found = dictionary.get(inner)!;
  }
  if (isScriptModule(found)) {
    return { tensors: collectModules(found, fail), metadata, isAverage };
  }
  const problem =
    found instanceof Map
      ? `nests more than ${MAX_WRAPPERS} dictionaries`
      : `has ${describe(found)} at its root`;
  throw fail("UNSUPPORTED", `${problem}, expected a state dict, such as model.state_dict()`);
}

function firstTensorOf(dictionary: ReadonlyMap<PickleValue, PickleValue>): string | undefined {
  for (const [name, value] of dictionary) if (value instanceof PickledTensor) return String(name);
  return undefined;
}

function isModel(value: unknown): boolean {
  return value instanceof Map || isScriptModule(value);
}

function isScriptModule(value: unknown): value is PickleObject {
  return value instanceof PickleObject && value.className.startsWith("__torch__.");
}

function collectMetadata(
  dictionary: ReadonlyMap<PickleValue, PickleValue>,
  metadata: Record<string, string>,
): void {
  for (const [key, value] of dictionary) {
    if (typeof key !== "string" || typeof value === "object") continue;
    Object.defineProperty(metadata, key, { value: String(value), enumerable: true, configurable: true });
  }
}

function collectTensors(
  dictionary: ReadonlyMap<PickleValue, PickleValue>,
  fail: Fail,
): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  for (const [name, value] of dictionary) {
    if (value instanceof PickledTensor) {
      if (typeof name !== "string")
        throw fail("UNSUPPORTED", "has a state dict with a name that is not a string");
      tensors.set(name, value);
    } else if (value instanceof PickleObject && /^(numpy|torch)\._/.test(value.className)) {
      throw fail("UNSUPPORTED", `has "${String(name)}" as ${describe(value)}, expected a plain tensor`);
    }
  }
  if (tensors.size > 0) return tensors;
  const names = [...dictionary.keys()].slice(0, 8).map((key) => JSON.stringify(String(key)));
  throw fail(
    "UNSUPPORTED",
    `has no tensors where its state dict should be, found ${names.join(", ") || "nothing"}`,
  );
}

/** The tensors of a TorchScript module and its submodules, by path. */
function collectModules(root: PickleObject, fail: Fail): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  let modules = 0;
  const visit = (module: PickleObject, path: string, depth: number) => {
    if (depth > MAX_MODULE_DEPTH || ++modules > MAX_MODULES) {
      throw fail(
        "CORRUPT",
        `has modules nested more than ${MAX_MODULE_DEPTH} deep, or more than ${MAX_MODULES} of them`,
      );
    }
    for (const [attribute, value] of module.attributes) {
      const name = `${path}${String(attribute)}`;
      if (name.length > MAX_NAME_LENGTH)
        throw fail("CORRUPT", `has a module name of ${name.length} characters`);
      if (value instanceof PickledTensor) tensors.set(name, value);
      else if (value instanceof PickleObject) visit(value, `${name}.`, depth + 1);
    }
  };
  visit(root, "", 0);
  if (tensors.size > 0) return tensors;
  throw fail("UNSUPPORTED", "is a TorchScript archive without tensors in its modules");
}

function describe(value: PickleValue): string {
  if (value instanceof PickleObject) return `an object of ${value.className}`;
  if (value instanceof PickledTensor) return "a single tensor";
  return value === null || typeof value !== "object" ? `the value ${String(value)}` : "a list";
}
