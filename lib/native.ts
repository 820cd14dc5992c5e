// The only file that loads the addon. It types the addon's whole surface; nothing else touches it.
import { join } from "node:path";
import type { ErrorCode } from "./error_codes";
import { EvaClipError } from "./errors";
import { nativeNotFound } from "./native_not_found";

export type DType = "f32" | "bf16" | "i32" | "u8";

/** A typed array as the addon reads and writes it; the element size follows the dtype. */
export type NativeArray = Float32Array | Uint16Array | Int32Array | Uint8Array;

export interface DeviceInfo {
  kind: string;
  /** The processor's own name. */
  name: string;
  instructionSet: string;
  /** The library that multiplies matrices. */
  library: string;
  threads: number;
  /** Of a GPU: the version of its driver. */
  driver?: string;
  /** Of a GPU: its whole memory. */
  memoryBytes?: number;
}

/** A file in the address space. */
export interface NativeMappedFile {
  readonly size: number;
  /** Fills `into` with the bytes from `begin` on. */
  readBytes(begin: number, into: Uint8Array): void;
  /** Fills `into` with a view's elements from the `first` on, in row-major order. */
  read(view: NativeStoredView, first: number, into: Float32Array): void;
  close(): void;
}

/** Types of stored elements that the addon converts. */
export type NativeStoredDtype = "F64" | "F32" | "F16" | "BF16";

/** A strided view of the elements in a file. */
export interface NativeStoredView {
  file: NativeMappedFile;
  dtype: NativeStoredDtype;
  /** The byte where element [0, …, 0] begins. */
  offset: number;
  shape: readonly number[];
  /** In elements. */
  strides: readonly number[];
}

/** What part of a parameter is filled from where. */
export interface NativePiece extends NativeStoredView {
  /** The first element of the parameter that it fills. */
  at: number;
}

export interface NativeParameter {
  /** Copies `data` at the call, except what is in a SharedArrayBuffer, which is read until it has settled. */
  write(data: NativeArray): Promise<void>;
  load(pieces: readonly NativePiece[]): Promise<void>;
  read(into: NativeArray): Promise<void>;
  dispose(): void;
}

export interface NativeDevice {
  info(): DeviceInfo;
  memory(): Promise<{ arenaBytes: number; workspaceBytes: number }>;
  /** Throws `ERR_EVACLIP_OUT_OF_MEMORY` when so many bytes more cannot be had. */
  expectFree(bytes: number): void;
  /** Elements are read and written without the padding of the stored shape. */
  createParameter(dtype: DType, shape: readonly number[], storedShape: readonly number[]): NativeParameter;
  /** Takes no more work at once, and settles when what was started is done and all memory was given back. */
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
  /** The same if no two values shared bytes. */
  unsharedBytes: number;
  /** Why a GPU runs the program kernel by kernel; absent where it replays it as a whole or runs it for the first time. */
  captureFailure?: string;
}

export interface KernelTiming {
  op: string;
  calls: number;
  seconds: number;
  /** Floating-point operations of all calls; 0 where the op does not count them. */
  flops: number;
}

export interface NativeProgram {
  /** Inputs are copied at the call, except those in a SharedArrayBuffer, which are read until it has settled. */
  run(ids: number[], inputs: NativeArray[], outputs: NativeArray[]): Promise<void>;
  stats(): ProgramStats;
  startProfile(): Promise<void>;
  profile(): Promise<KernelTiming[]>;
  dispose(): void;
}

export interface NativeDeviceOptions {
  kind: string;
  threads: number;
  instructionSet: string;
  /** The library of the CUDA backend; empty for the one beside the addon. */
  cudaLibrary: string;
}

export interface Native {
  openDevice(options: NativeDeviceOptions): Promise<NativeDevice>;
  /** Joins the threads of this environment's devices; what they were doing is given up. */
  stopDevices(): void;
  Graph: new () => NativeGraph;
  MappedFile: new (path: string) => NativeMappedFile;
  /** Converts all elements of `from` into `to`, rounding to the nearest, ties to even. */
  convertElements(
    from: ArrayBufferView,
    fromType: NativeStoredDtype,
    to: ArrayBufferView,
    toType: NativeStoredDtype,
  ): void;
  setErrorFactory(make: (code: ErrorCode, message: string, details: Record<string, string>) => Error): void;
  /** Of every op: its fields in order, as [name, kind]. */
  opFields(): Record<string, [string, string][]>;
}

/** Details that can be numbers; the addon gives every one as text. */
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

export const native: Native = load();
// process.exit() and uncaught exceptions run no cleanup hook of the addon, and the static destructors that follow free
// what the devices' threads compute with.
process.on("exit", () => native.stopDevices());
native.setErrorFactory((code, message, details) => new EvaClipError(code, message, withNumbers(details)));
