import { types } from "node:util";
import { z } from "zod";
import {
  anyFunction,
  checkArgument,
  describeValue,
  flag,
  instanceOf,
  invalidArgument,
  options,
  ownArgument,
  positiveInteger,
  reading,
  shortened,
} from "./arguments";
import { type Device, deviceArgument } from "./device";
import { EvaClipError } from "./errors";
import {
  allocateArray,
  dtypeArgument,
  HostTensor,
  holds,
  inSharedMemory,
  shapeArgument,
  shapeText,
} from "./host_tensor";
import type { DType, KernelTiming, NativeArray, NativeProgram, ProgramStats } from "./native";
import { Parameter } from "./parameter";
import { suggestionFor } from "./suggestion";
import { elementCount } from "./shape";
import { Graph, type Operand, Tensor } from "./tensor";

/** The dtype and shape of a program's input. */
export interface TensorSpec<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: readonly number[];
}

export function spec<T extends DType>(dtype: T, shape: readonly number[]): TensorSpec<T> {
  checkArgument("spec: dtype", dtype, dtypeArgument);
  return Object.freeze({ dtype, shape: ownArgument("spec: shape", shape, shapeArgument) });
}

export interface CompileOptions {
  /** Let values that are never alive together share memory; the results are the same. Default true. */
  shareMemory?: boolean;
}

const compileOptions = { shareMemory: flag.optional() };
const specsArgument = z.record(z.string(), options({ dtype: dtypeArgument, shape: shapeArgument }), {
  error: "an object with a spec for each input",
});

type Specs = Record<string, TensorSpec>;
type Outputs = Record<string, Operand>;
/** What a program takes: a typed array for each input. */
export type ProgramInputs<In extends Specs> = { [K in keyof In]: NativeArray };
export type ProgramResults<Out extends Outputs> = { [K in keyof Out]: HostTensor };

/** A compiled program: call it to run it off the event loop. */
export interface Program<In extends Specs = Specs, Out extends Outputs = Outputs> {
  /**
   * @throws EvaClipError (as a rejection) `ERR_EVACLIP_INVALID_ARGUMENT` or `ERR_EVACLIP_SHAPE` for wrong inputs,
   *   `ERR_EVACLIP_DATA` for values that an op cannot take, `ERR_EVACLIP_DISPOSED`.
   */
  (inputs: ProgramInputs<In>): Promise<ProgramResults<Out>>;
  stats(): ProgramStats;
  /** Times every kernel of the runs that follow. */
  startProfile(): Promise<void>;
  /** The timings since startProfile, in the order the kernels run. */
  profile(): Promise<KernelTiming[]>;
  dispose(): void;
}

/**
 * Records `body` once, plans its memory, and returns a function that runs it on the device's thread.
 *
 * The program copies its inputs before a call returns, so they may be changed, transferred or shrunk at once. Only what
 * lies in a SharedArrayBuffer is not copied: it is read in place, and should not change, until the call has settled.
 * The copy holds the event loop as long as `array.slice()` does, so large inputs are better given in shared memory.
 * @param body Synchronous; gets a Tensor for each input and returns the tensors wanted.
 */
export async function compile<In extends Specs, Out extends Outputs>(
  device: Device,
  inputs: In,
  body: (inputs: { [K in keyof In]: Tensor }) => Out,
  how: CompileOptions = {},
): Promise<Program<In, Out>> {
  checkArgument("compile: device", device, deviceArgument);
  const specs = ownArgument("compile: inputs", inputs, specsArgument);
  checkArgument("compile: body", body, anyFunction);
  return compileChecked(device, specs, body, ownArgument("compile: options", how, options(compileOptions)));
}

async function compileChecked<In extends Specs, Out extends Outputs>(
  device: Device,
  inputs: In,
  body: (inputs: { [K in keyof In]: Tensor }) => Out,
  { shareMemory = true }: CompileOptions,
): Promise<Program<In, Out>> {
  const graph = new Graph(device);
  const names = Object.keys(inputs);
  const tensors = Object.fromEntries(
    names.map((name) => [name, graph.input(inputs[name]!.dtype, inputs[name]!.shape)]),
  );
  const outputs = graph.record(() =>
    outputsIn(body(tensors as { [K in keyof In]: Tensor })).map(
      ([name, of]) => [name, graph.resolve(of)] as const,
    ),
  );
  const compiled = await graph.native.compile(
    device.native,
    outputs.map(([, tensor]) => tensor.id),
    { shareMemory },
  );

  const inputIds = names.map((name) => tensors[name]!.id);
  const run = async (given: ProgramInputs<In>): Promise<ProgramResults<Out>> => {
    const arrays = checkInputs(inputs, given);
    const results = outputs.map(([, { dtype, shape }]) => allocateArray(dtype, elementCount(shape)));
    await compiled.run(inputIds, arrays, results);
    return Object.fromEntries(
      outputs.map(([name, { dtype, shape }], i) => [name, new HostTensor(dtype, shape, results[i]!)]),
    ) as ProgramResults<Out>;
  };
  return Object.assign(run, surface(compiled));
}

function surface(compiled: NativeProgram): Pick<Program, "stats" | "startProfile" | "profile" | "dispose"> {
  return {
    stats: () => compiled.stats(),
    startProfile: () => compiled.startProfile(),
    profile: () => compiled.profile(),
    dispose: () => compiled.dispose(),
  };
}

function outputsIn(returned: unknown): [string, Operand][] {
  // An async body may reject later, when recording has ended; the error below already tells the caller.
  if (types.isPromise(returned)) returned.catch(() => undefined);
  const name = "compile: what body returns";
  const tag = reading(name, () => Object.prototype.toString.call(returned));
  if (tag !== "[object Object]") {
    throw invalidArgument(`compile: body must return an object of tensors, found ${describeValue(returned)}`);
  }
  const outputs = reading(name, () => Object.entries(returned as Outputs));
  for (const [field, output] of outputs) {
    if (output instanceof Tensor || output instanceof Parameter) continue;
    const message = `compile: output ${field} must be a Tensor, found ${describeValue(output)}`;
    throw invalidArgument(message, { name: field });
  }
  return outputs;
}

/** The arrays in the order of the specs. */
function checkInputs(specs: Specs, given: Record<string, NativeArray>): NativeArray[] {
  if (typeof given !== "object" || given === null) {
    throw invalidArgument(`a program takes an object of typed arrays, found ${describeValue(given)}`);
  }
  return reading("the program's inputs", () => {
    for (const name of Object.keys(given)) if (!Object.hasOwn(specs, name)) throw unknownInput(name, specs);
    return Object.entries(specs).map(([name, spec]) => checkInput(name, spec, given[name]));
  });
}

function checkInput(name: string, { dtype, shape }: TensorSpec, data: NativeArray | undefined): NativeArray {
  if (holds(dtype, data) && data.length === elementCount(shape)) return data;
  const expected = `${dtype} ${shapeText(shape)}, ${elementCount(shape)} elements`;
  if (data === undefined) throw invalidArgument(`input ${name} is missing (${expected})`, { field: name });
  const actual = describeValue(data);
  throw new EvaClipError("ERR_EVACLIP_SHAPE", `input ${name} must be ${expected}, got ${actual}`, {
    field: name,
    expected,
    actual,
  });
}

function unknownInput(name: string, specs: Specs): EvaClipError {
  const known = Object.keys(specs);
  const meant = suggestionFor(name, known);
  const advice = meant === undefined ? `it takes ${known.join(", ")}` : `did you mean ${meant}?`;
  return invalidArgument(`the program has no input ${shortened(name)}; ${advice}`, { field: name });
}

const shapedOptions = options({ ...compileOptions, maxPrograms: positiveInteger.optional() });
const tensorsArgument = z.record(z.string(), instanceOf(HostTensor), { error: "an object of HostTensors" });

/** What compileByShape returns: programs that are made as they are needed. */
export interface ShapedProgram<Out extends Outputs = Outputs> {
  (inputs: Record<string, HostTensor>): Promise<ProgramResults<Out>>;
  /** The programs kept at this moment. */
  programs(): Promise<Program<Specs, Out>[]>;
  dispose(): void;
}

/** A program by its shapes: `ready` once it is compiled. */
interface Kept<Out extends Outputs> {
  readonly compiling: Promise<Program<Specs, Out>>;
  ready: Program<Specs, Out> | undefined;
}

function mapValues<T, U>(values: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));
}

/**
 * A program for every combination of input shapes, recorded and compiled when it is first seen: packed text has a new
 * length with every bucket. At most `maxPrograms` are kept; the one unused longest goes first. After `dispose`, calls
 * reject with `ERR_EVACLIP_DISPOSED`.
 */
export function compileByShape<Out extends Outputs>(
  device: Device,
  body: (inputs: Record<string, Tensor>) => Out,
  how: CompileOptions & { maxPrograms?: number } = {},
): ShapedProgram<Out> {
  checkArgument("compileByShape: device", device, deviceArgument);
  checkArgument("compileByShape: body", body, anyFunction);
  const { maxPrograms = 64, ...compileOptions } = ownArgument("compileByShape: options", how, shapedOptions);
  let isDisposed = false;
  const programs = new Map<string, Kept<Out>>();
  const forget = (key: string) => {
    void programs.get(key)?.compiling.then(
      (program) => program.dispose(),
      () => undefined,
    );
    programs.delete(key);
  };
  const begin = (specs: Specs): Kept<Out> => {
    const kept: Kept<Out> = {
      compiling: compileChecked(device, specs, body, compileOptions),
      ready: undefined,
    };
    kept.compiling.then(
      (program) => {
        kept.ready = program;
      },
      () => undefined,
    );
    return kept;
  };
  const run = async (given: Record<string, HostTensor>) => {
    const inputs = ownArgument("a program's inputs", given, tensorsArgument);
    if (isDisposed) throw new EvaClipError("ERR_EVACLIP_DISPOSED", "the programs were disposed");
    const specs: Specs = mapValues(inputs, ({ dtype, shape }) => ({ dtype, shape }));
    const key = JSON.stringify(specs);
    const kept = programs.get(key) ?? begin(specs);
    programs.delete(key);
    programs.set(key, kept); // the newest last
    kept.compiling.catch(() => programs.delete(key));
    if (programs.size > maxPrograms) forget(programs.keys().next().value!);
    const data = mapValues(inputs, (tensor) => tensor.data);
    if (kept.ready) return kept.ready(data);
    // A program that is still compiling reads them later.
    const copies = mapValues(data, inSharedMemory);
    return (await kept.compiling)(copies);
  };
  return Object.assign(run, {
    programs: () => Promise.all([...programs.values()].map(({ compiling }) => compiling)),
    dispose: () => {
      isDisposed = true;
      for (const key of [...programs.keys()]) forget(key);
    },
  });
}
