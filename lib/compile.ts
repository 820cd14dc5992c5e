import { types } from "node:util";
import { z } from "zod";
import {
  anyFunction,
  checkArgument,
  describeValue,
  flag,
  instanceOf,
  invalidArgument,
  oneOf,
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
import { StagedInputs } from "./staged_inputs";
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
const profiled = oneOf("kernels", "program");
const stagedArgument = instanceOf(StagedInputs);
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
  /** A run with inputs that were staged, and all others. */
  (inputs: Partial<ProgramInputs<In>>, staged: StagedInputs): Promise<ProgramResults<Out>>;
  /**
   * Some or all inputs for one later run. A GPU copies those of a megabyte or more beside the runs before it, into memory for
   * two runs: a third call waits until the first of them is used or disposed. Otherwise the copy of a call is kept for the
   * run. Inputs in a SharedArrayBuffer must not change until that run has settled.
   * @throws EvaClipError (as a rejection) as a run does; `ERR_EVACLIP_OUT_OF_MEMORY`
   */
  stage(inputs: Partial<ProgramInputs<In>>): Promise<StagedInputs>;
  stats(): ProgramStats;
  /**
   * Times the runs that follow on the device: every kernel, or all of them together, without the copies of inputs and
   * results. A GPU's captured graph is replayed only in the latter case.
   */
  startProfile(what?: "kernels" | "program"): Promise<void>;
  /** The timings since startProfile, in the order the kernels run; of all of them together, one named `program`. */
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

  const updated = [...graph.updates.keys()];
  const idsOf = (chosen: readonly string[]) => chosen.map((name) => tensors[name]!.id);
  const stage = async (given: Partial<ProgramInputs<In>>): Promise<StagedInputs> => {
    const staged = givenNames(inputs, given);
    const arrays = checkInputs(inputs, staged, given);
    return new StagedInputs(await compiled.stage(idsOf(staged), arrays), compiled, staged);
  };
  const run = async (
    given: Partial<ProgramInputs<In>>,
    staged?: StagedInputs,
  ): Promise<ProgramResults<Out>> => {
    const rest = staged === undefined ? names : restOf(names, staged, compiled);
    const arrays = checkInputs(inputs, rest, given);
    const results = outputs.map(([, { dtype, shape }]) => allocateArray(dtype, elementCount(shape)));
    const running = compiled.run(idsOf(rest), arrays, results, staged?.native);
    for (const parameter of updated) parameter.changed();
    await running;
    return Object.fromEntries(
      outputs.map(([name, { dtype, shape }], i) => [name, new HostTensor(dtype, shape, results[i]!)]),
    ) as ProgramResults<Out>;
  };
  return withMethods(run, stage, compiled);
}

function withMethods<In extends InputSpecs, Out extends OutputTensors>(
  run: (given: Partial<ProgramInputs<In>>, staged?: StagedInputs) => Promise<ProgramResults<Out>>,
  stage: (given: Partial<ProgramInputs<In>>) => Promise<StagedInputs>,
  compiled: NativeProgram,
): Program<In, Out> {
  let disposed = false;
  const dispose = () => {
    disposed = true;
    compiled.dispose();
  };
  const program = Object.assign(run, {
    stage,
    stats: () => compiled.stats(),
    startProfile: async (what: "kernels" | "program" = "kernels") => {
      checkArgument("startProfile: what", what, profiled);
      return compiled.startProfile(what === "program");
    },
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

/** The inputs that were not staged. */
function restOf(names: readonly string[], given: StagedInputs, program: NativeProgram): string[] {
  const staged = ownArgument("a program's staged inputs", given, stagedArgument);
  if (staged.program !== program) {
    throw invalidArgument(
      "the staged inputs are those of another program; a program runs what its own stage() made",
    );
  }
  return names.filter((name) => !staged.names.includes(name));
}

/** The names of what is given, in the order of the specs. */
function givenNames(specs: InputSpecs, given: Partial<Record<string, NativeArray>>): string[] {
  checkInputs(specs, [], given, Object.keys(specs));
  return reading("the program's inputs", () =>
    Object.keys(specs).filter((name) => Object.hasOwn(given, name)),
  );
}

/** The given arrays in the order of `names`; there must be no others, except for those that are `allowed`. */
function checkInputs(
  specs: InputSpecs,
  names: readonly string[],
  given: Partial<Record<string, NativeArray>>,
  allowed = names,
): NativeArray[] {
  if (typeof given !== "object" || given === null) {
    throw invalidArgument(`a program takes an object of typed arrays, found ${describeValue(given)}`);
  }
  return reading("the program's inputs", () => {
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(specs, name)) throw unknownInput(name, specs);
      if (!allowed.includes(name)) throw invalidArgument(`input ${name} is staged already`, { field: name });
    }
    return names.map((name) => checkInput(name, specs[name]!, given[name]));
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
