import { shortened } from "../arguments";
import { EvaClipError } from "../errors";
import { elementCount } from "../shape";
import { elementBytes, type StoredDtype, TENSOR_ARRAYS } from "./tensor_source";

export interface TensorInfo {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
}

/** A tensor's type, shape and byte range [begin, end) after the header. */
export interface TensorEntry extends TensorInfo {
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

type Fail = (problem: string, details?: Record<string, unknown>) => Error;

const METADATA_KEY = "__metadata__";
const HEADER_ALIGNMENT = 8;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Bytes of a tensor; not a safe integer if the shape is absurd. */
function byteSize({ dtype, shape }: TensorInfo): number {
  return elementCount(shape) * elementBytes(dtype);
}

function parseEntry(name: string, value: unknown, dataBytes: number, fail: Fail): TensorEntry {
  const failTensor = (problem: string) => fail(`has a bad tensor "${name}": ${problem}`, { tensor: name });
  if (!isRecord(value)) throw failTensor("expected an object with dtype, shape and data_offsets");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(TENSOR_ARRAYS, dtype)) {
    const known = Object.keys(TENSOR_ARRAYS).join(", ");
    throw failTensor(`expected a dtype of ${known}, found ${JSON.stringify(dtype) ?? "none"}`);
  }
  if (!isSizeList(shape))
    throw failTensor(`expected a list of sizes as shape, found ${JSON.stringify(shape)}`);
  if (!isSizeList(offsets) || offsets.length !== 2) {
    throw failTensor(`expected data_offsets [begin, end], found ${JSON.stringify(offsets)}`);
  }
  const entry = { dtype: dtype as StoredDtype, shape, begin: offsets[0]!, end: offsets[1]! };
  if (entry.begin > entry.end || entry.end > dataBytes) {
    throw failTensor(`its bytes ${entry.begin} to ${entry.end} are outside the ${dataBytes} bytes of data`);
  }
  if (byteSize(entry) !== entry.end - entry.begin) {
    throw failTensor(
      `${dtype} [${shape}] needs ${byteSize(entry)} bytes, found a range of ${entry.end - entry.begin}`,
    );
  }
  return entry;
}

/** By the format a map from string to string, or absent; other values are kept as JSON, and null counts as absent. */
function parseMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw fail(`has a ${METADATA_KEY} that is not a map from string to string`);
  const stated = Object.entries(value).filter(([, content]) => content !== null);
  return Object.fromEntries(
    stated.map(([key, content]) => [key, typeof content === "string" ? content : JSON.stringify(content)]),
  );
}

/** Reads a header and checks that its tensors cover the `dataBytes` after it exactly once. */
export function parseHeader(header: Uint8Array, dataBytes: number, fail: Fail): SafetensorsHeader {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (error) {
    throw fail(
      `is a broken safetensors file: its header is not JSON: ${shortened((error as Error).message)}`,
    );
  }
  if (!isRecord(parsed)) throw fail("is a broken safetensors file: its header is not an object");
  const tensors = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== METADATA_KEY) tensors.set(name, parseEntry(name, value, dataBytes, fail));
  }
  let covered = 0;
  for (const [name, { begin, end }] of [...tensors].sort(
    ([, a], [, b]) => a.begin - b.begin || a.end - b.end,
  )) {
    if (begin !== covered) {
      const problem = begin < covered ? "overlaps the tensor before it" : "leaves a gap before it";
      throw fail(`has a bad tensor "${name}": ${problem} (starts at byte ${begin}, expected ${covered})`, {
        tensor: name,
      });
    }
    covered = end;
  }
  if (covered !== dataBytes) throw fail(`has ${dataBytes} bytes of data, but its tensors cover ${covered}`);
  return { metadata: parseMetadata(parsed[METADATA_KEY], fail), tensors };
}

/**
 * Orders tensors for a file, widest type first so that every tensor is aligned to its own type, and builds the header.
 * Equal input gives equal bytes.
 */
export function layoutTensors<T extends TensorInfo & { readonly name: string }>(
  tensors: readonly T[],
  metadata: Readonly<Record<string, string>>,
): { header: Uint8Array; order: (T & { bytes: number })[] } {
  const width = (tensor: T) => TENSOR_ARRAYS[tensor.dtype].BYTES_PER_ELEMENT;
  const order = tensors
    .map((tensor) => ({ ...tensor, bytes: byteSize(tensor) }))
    .sort((a, b) => width(b) - width(a) || (a.name < b.name ? -1 : 1));
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA_KEY, metadata]] : [];
  const names = new Set([METADATA_KEY]);
  let begin = 0;
  for (const { name, dtype, shape, bytes } of order) {
    if (names.has(name) || !Number.isSafeInteger(bytes)) {
      const problem = names.has(name) ? "is a duplicate or reserved" : `has an impossible shape [${shape}]`;
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `tensor "${name}" ${problem}`, { tensor: name });
    }
    names.add(name);
    entries.push([name, { dtype, shape, data_offsets: [begin, begin + bytes] }]);
    begin += bytes;
  }
  const json = JSON.stringify(Object.fromEntries(entries));
  const header = new TextEncoder().encode(json);
  const padded = new Uint8Array(Math.ceil(header.length / HEADER_ALIGNMENT) * HEADER_ALIGNMENT).fill(0x20);
  padded.set(header);
  return { header: padded, order };
}
