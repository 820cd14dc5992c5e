import type { Fail } from "../checkpoint_error";
import { EMA_NAMES, takesEma, type WeightsChoice } from "../moving_average";
import { PickleObject, type PickleValue } from "./pickle_value";
import { PickledTensor } from "./pytorch_globals";

/** Where trainers put the state dict, in the order of preference. */
const WRAPPERS = ["model", "module", "state_dict", "model_state_dict"] as const;
const MOST_WRAPPERS = 8;
const DEEPEST_MODULE = 64;
const LONGEST_NAME = 4096;
const MOST_MODULES = 100_000;

export interface StateDict {
  readonly tensors: ReadonlyMap<string, PickledTensor>;
  /** Texts, numbers and truth values that stood beside the weights: `epoch`, `name`, … */
  readonly metadata: Readonly<Record<string, string>>;
  /** They are the moving average of weights. */
  readonly isAverage: boolean;
}

/**
 * The weights in what torch.save was given. Dictionaries under `model`, `module`, `state_dict` and `model_state_dict`
 * are entered one after the other; those of a moving average (`model_ema`, …) where it is meant. Values beside tensors,
 * such as an optimizer's state, are left out; a weight that is not stored as a plain tensor is an error.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_UNSUPPORTED naming the entry, or what was there instead of weights
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
  for (let depth = 0; depth < MOST_WRAPPERS && found instanceof Map; depth++) {
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
    found instanceof Map ? `nests more than ${MOST_WRAPPERS} dictionaries` : `holds ${describe(found)}`;
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
        throw fail("UNSUPPORTED", "has a state dict with a name that is not text");
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

/** The tensors of a TorchScript module and of the modules in its attributes, by their paths. */
function collectModules(root: PickleObject, fail: Fail): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  let modules = 0;
  const visit = (module: PickleObject, path: string, depth: number) => {
    if (depth > DEEPEST_MODULE || ++modules > MOST_MODULES) {
      throw fail(
        "CORRUPT",
        `has modules more than ${DEEPEST_MODULE} deep or more than ${MOST_MODULES} of them`,
      );
    }
    for (const [attribute, value] of module.attributes) {
      const name = `${path}${String(attribute)}`;
      if (name.length > LONGEST_NAME)
        throw fail("CORRUPT", `has a module's name of ${name.length} characters`);
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
