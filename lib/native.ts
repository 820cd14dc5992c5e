// Loads the addon and types its whole surface. No other file loads it.
import { join } from "node:path";
import type { ErrorCode } from "./error_codes";
import { EvaClipError } from "./errors";
import { nativeNotFound } from "./native_not_found";

export type DType = "f32" | "bf16" | "i32" | "u8";

/** A typed array as the addon reads and writes it; the element size follows the dtype. */
export type NativeArray = Float32Array | Uint16Array | Int32Array | Uint8Array;

/** The kind of device: the CPU or an NVIDIA GPU. */
export type DeviceKind = "cpu" | "cuda";

/** The x86-64 level of the CPU kernels; `v4_bf16` is v4 with AVX512_BF16, `generic` is for other processors. */
export type InstructionSet = "v2" | "v3" | "v4" | "v4_bf16" | "generic";

export interface DeviceInfo {
  kind: DeviceKind;
  /** The vendor's name of the processor. */
  name: string;
  /** Compute capability of a GPU, such as `sm_90`. */
  instructionSet: InstructionSet | `sm_${number}`;
  /** The GEMM library and its version. */
  library: string;
  threads: number;
  /** Driver version of a GPU. */
  driver?: string;
  /** Memory size of a GPU in bytes. */
  memoryBytes?: number;
}

/** A memory-mapped file. */
export interface NativeMappedFile {
  readonly size: number;
  /** Fills `into` with the bytes from offset `begin` on. */
  readBytes(begin: number, into: Uint8Array): void;
  /** Fills `into` with a view's elements from index `first` on, in row-major order. */
  read(view: NativeStoredView, first: number, into: Float32Array): void;
  close(): void;
}

/** Element types of files that the addon converts. */
export type NativeStoredDtype = "F64" | "F32" | "F16" | "BF16";

/** A strided view of a file's elements. */
export interface NativeStoredView {
  file: NativeMappedFile;
  dtype: NativeStoredDtype;
  /** The offset of element [0, …, 0] in bytes. */
  offset: number;
  shape: readonly number[];
  /** In elements. */
  strides: readonly number[];
}

/** A view and the part of a parameter that it fills. */
export interface NativePiece extends NativeStoredView {
  /** Index of the first element of the parameter that it fills. */
  at: number;
}

export interface NativeParameter {
  /** Copies `data` at the call; data in a SharedArrayBuffer are read in place until the promise has settled. */
  write(data: NativeArray): Promise<void>;
  load(pieces: readonly NativePiece[]): Promise<void>;
  read(into: NativeArray): Promise<void>;
  /** The rows from `firstRow` on as a parameter of their own, in the same memory. */
  window(firstRow: number, shape: readonly number[], storedShape: readonly number[]): NativeParameter;
  dispose(): void;
}

/** A search of the rows of a file for those with the largest product with each query. */
export interface NativeRowSearch {
  file: NativeMappedFile;
  dtype: NativeStoredDtype;
  /** The offset of row 0 in bytes, a multiple of the element's size. */
  offset: number;
  rows: number;
  columns: number;
  /** [queryCount, columns] */
  queries: Float32Array;
  queryCount: number;
  /** Rows to find per query, at least 1. */
  count: number;
  /** One number in shared memory; setting it to 1 ends the search with `ERR_EVACLIP_ABORTED`. */
  cancelled: Int32Array;
  /** A bit per row, the lowest first; default: every row. */
  allowed?: Uint8Array;
}

/** [queryCount, found] each, best first; ties in the order of rows. */
export interface NativeFoundRows {
  rows: Int32Array;
  similarities: Float32Array;
}

/** One axis of a resize: pixels `begin` to `end` of `length` become `target`, of which `count` from `offset` on are computed. */
export interface NativeResampleAxis {
  length: number;
  begin: number;
  end: number;
  target: number;
  offset: number;
  count: number;
}

/** Resizes an RGB image to the bytes of Pillow's resampling, columns first, on threads of the addon. */
export interface NativeResampler {
  /** The columns of the image that parts consist of, [first, end]. */
  readonly columns: [number, number];
  /** The rows that are to be added, in order. */
  readonly rows: [number, number];
  /**
   * Adds the next rows, [rows, columns, 3], which are copied at the call, unless they are in a SharedArrayBuffer. After the
   * last row `into` is filled.
   */
  add(part: Uint8Array): Promise<void>;
}

export interface NativeResize {
  x: NativeResampleAxis;
  y: NativeResampleAxis;
  filter: "box" | "bilinear" | "hamming" | "bicubic" | "lanczos";
  /** [y.count, x.count, 3] */
  into: Uint8Array;
}

export interface NativeDevice {
  info(): DeviceInfo;
  memory(): Promise<{ arenaBytes: number; workspaceBytes: number }>;
  /** Throws `ERR_EVACLIP_OUT_OF_MEMORY` when `bytes` more cannot be allocated. */
  expectFree(bytes: number): void;
  /** Of a CPU device. */
  nearestRows(search: NativeRowSearch): Promise<NativeFoundRows>;
  /** Elements are read and written without the padding of the stored shape. */
  createParameter(dtype: DType, shape: readonly number[], storedShape: readonly number[]): NativeParameter;
  /** Rejects new work immediately; settles when pending work has finished and all memory is freed. */
  close(): Promise<void>;
}

export interface NativeOutput {
  field: string;
  id: number;
  dtype: DType;
  shape: number[];
}

export type Attribute = number | boolean | string | readonly number[];

export interface NativeGraph {
  input(dtype: DType, shape: readonly number[]): number;
  constant(dtype: DType, shape: readonly number[], data: NativeArray): number;
  parameter(parameter: NativeParameter): number;
  reshape(id: number, shape: readonly number[]): number;
  /** A view of rows `begin` … `end` - 1 along the first dimension. */
  rows(id: number, begin: number, end: number): number;
  apply(
    op: string,
    inputs: Record<string, number | null | (number | null)[]>,
    attributes: Record<string, Attribute | undefined>,
  ): NativeOutput[];
  compile(device: NativeDevice, outputs: number[], options: { shareMemory: boolean }): Promise<NativeProgram>;
}

export interface ProgramStats {
  kernels: number;
  /** Bytes of the shared arena that this program needs. */
  arenaBytes: number;
  /** The bytes it would need if no two values shared memory. */
  unsharedBytes: number;
  /** Why a GPU runs the program kernel by kernel; absent where it replays a captured graph, and before the second run. */
  captureFailure?: string;
}

export interface KernelTiming {
  op: string;
  calls: number;
  seconds: number;
  /** Floating-point operations of all calls; 0 for ops that do not count them. */
  flops: number;
}

/** Inputs for one run of the program that staged them. */
export interface NativeStagedInputs {
  /** Gives up inputs that no run has used. Idempotent. */
  dispose(): void;
}

export interface NativeProgram {
  /**
   * Inputs for a later run. Those of a megabyte or more are copied to a GPU beside its work, for two runs at a time: further
   * calls wait. Inputs in a SharedArrayBuffer are read in place until the run has settled.
   */
  stage(ids: number[], inputs: NativeArray[]): Promise<NativeStagedInputs>;
  /** Inputs are copied at the call; those in a SharedArrayBuffer are read in place until the promise has settled. */
  run(
    ids: number[],
    inputs: NativeArray[],
    outputs: NativeArray[],
    staged?: NativeStagedInputs,
  ): Promise<void>;
  stats(): ProgramStats;
  /** @param whole all kernels as one */
  startProfile(whole: boolean): Promise<void>;
  profile(): Promise<KernelTiming[]>;
  dispose(): void;
}

export interface NativeDeviceOptions {
  kind: string;
  /** Of a GPU. */
  index: number;
  threads: number;
  /** Empty for the newest that the processor has. */
  instructionSet: string;
  /** The path of the CUDA backend; empty for the one next to the addon. */
  cudaLibrary: string;
}

export interface Native {
  openDevice(options: NativeDeviceOptions): Promise<NativeDevice>;
  /** Stops and joins the threads of this environment's devices; their work is abandoned. */
  stopDevices(): void;
  Graph: new () => NativeGraph;
  MappedFile: new (path: string) => NativeMappedFile;
  Resampler: new (resize: NativeResize) => NativeResampler;
  /** Converts all elements of `from` into `to`, rounding to the nearest, ties to even. */
  convertElements(
    from: ArrayBufferView,
    fromType: NativeStoredDtype,
    to: ArrayBufferView,
    toType: NativeStoredDtype,
  ): void;
  setErrorFactory(make: (code: ErrorCode, message: string, details: Record<string, string>) => Error): void;
  /** The fields of every op in order, as [name, kind]. */
  opFields(): Record<string, [string, string][]>;
}

/** Error details that are numbers; the addon passes all details as strings. */
const QUANTITIES = new Set(["expected", "actual", "needed", "free"]);

function withNumbers(details: Record<string, string>): Record<string, unknown> {
  const entries = Object.entries(details).map(([name, text]) => {
    const isNumber = QUANTITIES.has(name) && /^-?\d+(\.\d+)?$/.test(text);
    return [name, isNumber ? Number(text) : text];
  });
  return Object.fromEntries(entries);
}

const packageFolder = join(__dirname, "..");

function load(): Native {
  const given = process.env.EVA_CLIP_NATIVE_PATH;
  try {
    return given ? require(given) : require("node-gyp-build")(packageFolder);
  } catch (cause) {
    throw nativeNotFound(packageFolder, given, cause as Error);
  }
}

function initialized(addon: Native): Native {
  // process.exit() and uncaught exceptions run no cleanup hook of the addon, and the static destructors that follow free
  // code that the devices' threads are running.
  process.on("exit", () => addon.stopDevices());
  addon.setErrorFactory((code, message, details) => new EvaClipError(code, message, withNumbers(details)));
  return addon;
}

let loaded: Native | undefined;

/**
 * The addon, loaded at the first call: importing the package has no side effects and needs no binary.
 * @throws EvaClipError `ERR_EVACLIP_NATIVE_NOT_FOUND`
 */
export function native(): Native {
  loaded ??= initialized(load());
  return loaded;
}
