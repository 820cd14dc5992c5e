import { types } from "node:util";
import { z } from "zod";
import {
  anyFunction,
  checkArgument,
  describeValue,
  flag,
  invalidArgument,
  options,
  ownArgument,
  reading,
  shortened,
} from "./arguments";
import { type Device, deviceArgument } from "./device";
import { EvaClipError } from "./errors";
import { allocateArray, dtypeArgument, HostTensor, holds, shapeArgument, shapeText } from "./host_tensor";
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

/** The spec of an input of `compile`. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function spec<T extends DType>(dtype: T, shape: readonly number[]): TensorSpec<T> {
  checkArgument("spec: dtype", dtype, dtypeArgument);
  return Object.freeze({ dtype, shape: ownArgument("spec: shape", shape, shapeArgument) });
}

export interface CompileOptions {
  /** Whether values that are never alive at the same time share memory; results do not depend on it. Default true. */
  shareMemory?: boolean;
}

export const compileOptions = { shareMemory: flag.optional() };
const specsArgument = z.record(z.string(), options({ dtype: dtypeArgument, shape: shapeArgument }), {
  error: "an object with a spec for each input",
});

/** The inputs of a program by name. */
export type InputSpecs = Record<string, TensorSpec>;
/** The tensors that a recorded function returns, by name. */
export type OutputTensors = Record<string, Operand>;
/** A typed array for each input of a program. */
export type ProgramInputs<In extends InputSpecs> = { [K in keyof In]: NativeArray };
/** A tensor in JavaScript's memory for each output of a program. */
export type ProgramResults<Out extends OutputTensors> = { [K in keyof Out]: HostTensor };

/** A compiled program: call it to run it off the event loop. */
export interface Program<In extends InputSpecs = InputSpecs, Out extends OutputTensors = OutputTensors>
  extends Disposable {
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
  /** Whether `dispose` was called. */
  readonly disposed: boolean;
  /** Frees the program after the runs that were started; later calls reject with `ERR_EVACLIP_DISPOSED`. Idempotent. */
  dispose(): void;
}

/**
 * Records `body` once, plans its memory, and returns a function that runs it on the device's thread.
 *
 * The program copies its inputs before a call returns, so they may be changed, transferred or shrunk at once. Inputs in a
 * SharedArrayBuffer are not copied: they are read in place, and must not change, until the call has settled. The copy
 * blocks the event loop as long as `array.slice()` does, so large inputs are better given in shared memory.
 * @param body Synchronous; takes a Tensor for each input and returns the output tensors by name.
 * @throws EvaClipError (as a rejection) what `body` throws; `ERR_EVACLIP_INVALID_ARGUMENT`; `ERR_EVACLIP_OUT_OF_MEMORY`
 */
export async function compile<In extends InputSpecs, Out extends OutputTensors>(
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

/** `compile` with arguments that were checked. */
export async function compileChecked<In extends InputSpecs, Out extends OutputTensors>(
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
  return withMethods(run, compiled);
}

function withMethods<In extends InputSpecs, Out extends OutputTensors>(
  run: (given: ProgramInputs<In>) => Promise<ProgramResults<Out>>,
  compiled: NativeProgram,
): Program<In, Out> {
  let disposed = false;
  const dispose = () => {
    disposed = true;
    compiled.dispose();
  };
  const program = Object.assign(run, {
    stats: () => compiled.stats(),
    startProfile: () => compiled.startProfile(),
    profile: () => compiled.profile(),
    dispose,
    [Symbol.dispose]: dispose,
  });
  return Object.defineProperty(program as typeof program & { disposed: boolean }, "disposed", {
    get: () => disposed,
    enumerable: true,
  });
}

function outputsIn(returned: unknown): [string, Operand][] {
  // An async body may reject after recording has ended; the error below already reports it.
  if (types.isPromise(returned)) returned.catch(() => undefined);
  const name = "compile: what body returns";
  const tag = reading(name, () => Object.prototype.toString.call(returned));
  if (tag !== "[object Object]") {
    throw invalidArgument(`compile: body must return an object of tensors, found ${describeValue(returned)}`);
  }
  const outputs = reading(name, () => Object.entries(returned as OutputTensors));
  for (const [field, output] of outputs) {
    if (output instanceof Tensor || output instanceof Parameter) continue;
    const message = `compile: output ${field} must be a Tensor, found ${describeValue(output)}`;
    throw invalidArgument(message, { name: field });
  }
  return outputs;
}

/** The given arrays in the order of the specs. */
function checkInputs(specs: InputSpecs, given: Record<string, NativeArray>): NativeArray[] {
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

function unknownInput(name: string, specs: InputSpecs): EvaClipError {
  const known = Object.keys(specs);
  const meant = suggestionFor(name, known);
  const advice = meant === undefined ? `it takes ${known.join(", ")}` : `did you mean ${meant}?`;
  return invalidArgument(`the program has no input ${shortened(name)}; ${advice}`, { field: name });
}
