import type { Fail } from "../checkpoint_error";
import { type PickleDialect, PickleGlobal, PickleObject, type PickleValue } from "./pickle_value";
import type { StoredDtype } from "../tensor_source";

/** PyTorch's own limit. */
const MAX_DIMENSIONS = 64;

/** A storage as the pickle describes it; the `elements` of an untyped storage are bytes. */
export class PickledStorage {
  constructor(
    readonly typeName: string,
    readonly key: string,
    readonly elements: number,
  ) {}
}

/** A tensor as the pickle describes it: a view in elements, not yet checked against its storage. */
export class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly begin: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** PyTorch's name of the element type, or of a storage type that implies it. */
    readonly typeName: string,
    /** Whether reading the view negates or conjugates its storage. */
    readonly isLazy: boolean,
  ) {}
}

/** Supported element types by their names in a pickle. */
export const STORED_DTYPES: ReadonlyMap<string, StoredDtype> = new Map(
  (
    [
      ["DoubleStorage", "float64", "F64"],
      ["FloatStorage", "float32", "F32"],
      ["HalfStorage", "float16", "F16"],
      ["BFloat16Storage", "bfloat16", "BF16"],
      ["LongStorage", "int64", "I64"],
      ["IntStorage", "int32", "I32"],
      ["ShortStorage", "int16", "I16"],
      ["CharStorage", "int8", "I8"],
      ["ByteStorage", "uint8", "U8"],
      ["BoolStorage", "bool", "BOOL"],
      ["UInt64Storage", "uint64", "U64"],
      ["UInt32Storage", "uint32", "U32"],
      ["UInt16Storage", "uint16", "U16"],
      ["ComplexFloatStorage", "complex64", "C64"],
      ["Float8_e4m3fnStorage", "float8_e4m3fn", "F8_E4M3"],
      ["Float8_e4m3fnuzStorage", "float8_e4m3fnuz", "F8_E4M3FNUZ"],
      ["Float8_e5m2Storage", "float8_e5m2", "F8_E5M2"],
      ["Float8_e5m2fnuzStorage", "float8_e5m2fnuz", "F8_E5M2FNUZ"],
      ["Float8_e8m0fnuStorage", "float8_e8m0fnu", "F8_E8M0"],
    ] as const
  ).flatMap(([storage, dtype, stored]) => [
    [`torch.${storage}`, stored],
    [`torch.${dtype}`, stored],
  ]),
);

/** Globals that are only names: storage types, element types and values of torch's enumerations. */
const STORAGE_TYPES =
  /^torch\.((BFloat16|Bool|Byte|Char|Complex\w+|Double|Float|Half|Int|Long|Q?UInt\w+|QInt\w+|Short)Storage|(storage\.)?UntypedStorage)$/;
const ELEMENT_TYPES = /^torch\.(bool|b?float\d+\w*|complex\d+|q?u?int\d+\w*)$/;
const ENUMERATION_VALUES =
  /^torch\.(strided|sparse_coo|contiguous_format|channels_last|channels_last_3d|preserve_format)$/;

/**
 * Classes and functions found in checkpoints of EVA, EVA-CLIP, OpenCLIP and DeepSpeed next to the weights: options,
 * epochs and scores as numpy scalars, states of random generators and loss scalers. Each becomes a `PickleObject` with
 * its attributes; constructor arguments are dropped.
 */
const DATA_OBJECTS: ReadonlySet<string> = new Set([
  "_codecs.encode",
  "argparse.Namespace",
  "collections.Counter",
  "datetime.datetime",
  "datetime.timedelta",
  "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
  "deepspeed.runtime.fp16.loss_scaler.LossScaler",
  "deepspeed.runtime.zero.config.ZeroStageEnum",
  "deepspeed.utils.tensor_fragment.fragment_address",
  "numpy.dtype",
  "numpy.ndarray",
  "pathlib.Path",
  "pathlib.PosixPath",
  "pathlib.PurePosixPath",
  "pathlib._local.PosixPath",
  "torch._utils._rebuild_meta_tensor_no_storage",
  "torch._utils._rebuild_qtensor",
  "torch._utils._rebuild_sparse_tensor",
  "torch.device",
  "torch.serialization._get_layout",
  "torch.torch_version.TorchVersion",
  "types.SimpleNamespace",
]);
const NUMPY_OBJECTS =
  /^numpy\.(_core|core)\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)$|^numpy\.dtypes\.\w+$/;
const BUILTIN_OBJECTS =
  /^(__builtin__|builtins)\.(bytearray|complex|dict|float|frozenset|int|list|set|slice|str|tuple)$/;
/** Module classes of a TorchScript archive, and its typed lists. */
const SCRIPT_OBJECTS = /^__torch__\.|^torch\.jit\._pickle\.(build_\w+list|restore_type_tag)$/;

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_DIMENSIONS && value.every(isSize);
}

function isSize(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

type Construct = (args: readonly PickleValue[]) => PickleValue;

/** Globals that construct a value that the reader uses. */
function constructors(fail: Fail): ReadonlyMap<string, Construct> {
  const tensor = (args: readonly PickleValue[], dtype?: PickleValue, metadata?: PickleValue) => {
    const [storage, begin, shape, strides] = args;
    const isView = storage instanceof PickledStorage && isSize(begin) && isSizes(shape) && isSizes(strides);
    const isTyped = dtype === undefined || dtype instanceof PickleGlobal;
    if (!isView || !isTyped || shape.length !== strides.length) {
      throw fail(
        "CORRUPT",
        "has a malformed tensor in its pickle: expected storage, offset, sizes and strides",
      );
    }
    const isLazy = metadata instanceof Map && metadata.size > 0;
    const typeName = dtype?.qualifiedName ?? storage.typeName;
    return new PickledTensor(storage, begin, shape, strides, typeName, isLazy);
  };
  const parameter: Construct = ([data]) => {
    if (data instanceof PickledTensor || data instanceof PickleObject) return data;
    throw fail("CORRUPT", "has a pickle with a parameter that is not a tensor");
  };
  const size: Construct = ([sizes]) => {
    if (isSizes(sizes)) return sizes;
    throw fail("CORRUPT", "has a pickle with a malformed torch.Size");
  };
  const dictionary: Construct = (args) => {
    if (args.every((arg) => arg instanceof PickleGlobal || arg === null)) return new Map();
    throw fail("UNSUPPORTED", "has a dictionary in Python 2's form: save it again with a newer PyTorch");
  };
  return new Map<string, Construct>([
    ["torch._utils._rebuild_tensor", (args) => tensor(args)],
    ["torch._utils._rebuild_tensor_v2", (args) => tensor(args, undefined, args[6])],
    ["torch._utils._rebuild_tensor_v3", (args) => tensor(args, args[6] ?? null, args[7])],
    ["torch._utils._rebuild_parameter", parameter],
    ["torch._utils._rebuild_parameter_with_state", parameter],
    ["torch.Size", size],
    ["collections.OrderedDict", dictionary],
    ["collections.defaultdict", dictionary],
  ]);
}

/**
 * The globals of torch.save's files: those on the lists of this module, each with a constructor that only keeps data. Any
 * other global, called or not, makes the whole file unsafe. `__torch__` classes are allowed in `isScript` archives only.
 */
export function pytorchDialect(isScript: boolean, fail: Fail): PickleDialect {
  const constructed = constructors(fail);
  const isName = (name: string) =>
    [STORAGE_TYPES, ELEMENT_TYPES, ENUMERATION_VALUES].some((n) => n.test(name));
  const isObject = (name: string) =>
    DATA_OBJECTS.has(name) ||
    [NUMPY_OBJECTS, BUILTIN_OBJECTS, ...(isScript ? [SCRIPT_OBJECTS] : [])].some((n) => n.test(name));
  return {
    resolve(module, name) {
      const qualifiedName = `${module}.${name}`;
      const construct = constructed.get(qualifiedName);
      if (construct !== undefined) return new PickleGlobal(qualifiedName, construct);
      if (isName(qualifiedName)) return new PickleGlobal(qualifiedName);
      if (!isObject(qualifiedName)) return undefined;
      return new PickleGlobal(qualifiedName, () => new PickleObject(qualifiedName));
    },
    persistent(id) {
      const [kind, type, key, , elements] = Array.isArray(id) ? id : [];
      const isStorage = kind === "storage" && type instanceof PickleGlobal;
      if (!isStorage || typeof key !== "string" || !isSize(elements)) {
        throw fail("CORRUPT", "has a pickle with a persistent id that does not describe a storage");
      }
      return new PickledStorage(type.qualifiedName, key, elements);
    },
  };
}
