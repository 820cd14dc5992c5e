import type { Device } from "./device";
import { EvaClipError } from "./errors";
import { allocateArray, elementCount, HostTensor, holds } from "./host_tensor";
import type { DType, KernelTiming, NativeArray, NativeProgram, ProgramStats } from "./native";
import { Graph, type Operand, type Tensor } from "./tensor";

/** The dtype and shape of a program's input. */
export interface TensorSpec<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: readonly number[];
}

export function spec<T extends DType>(dtype: T, shape: readonly number[]): TensorSpec<T> {
  return { dtype, shape };
}

export interface CompileOptions {
  /** Let values that are never alive together share memory; the results are the same. Default true. */
  shareMemory?: boolean;
}

type Specs = Record<string, TensorSpec>;
type Outputs = Record<string, Operand>;
/** What a program takes: a typed array for each input. They must not change until the run has settled. */
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
 * @param body Synchronous; gets a Tensor for each input and returns the tensors wanted.
 */
export async function compile<In extends Specs, Out extends Outputs>(
  device: Device,
  inputs: In,
  body: (inputs: { [K in keyof In]: Tensor }) => Out,
  { shareMemory = true }: CompileOptions = {},
): Promise<Program<In, Out>> {
  const graph = new Graph(device);
  const names = Object.keys(inputs);
  const tensors = Object.fromEntries(
    names.map((name) => [name, graph.input(inputs[name]!.dtype, inputs[name]!.shape)]),
  );
  const outputs = graph.record(() =>
    Object.entries(body(tensors as { [K in keyof In]: Tensor })).map(
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
    const arrays = names.map((name) => checkInput(name, inputs[name]!, given[name]));
    for (const name of Object.keys(given)) if (!(name in inputs)) unknownInput(name, names);
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

function checkInput(name: string, { dtype, shape }: TensorSpec, data: NativeArray | undefined): NativeArray {
  const expected = `${dtype} [${shape.join(", ")}], ${elementCount(shape)} elements`;
  if (data === undefined) {
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `input ${name} is missing (${expected})`, {
      field: name,
    });
  }
  if (holds(dtype, data) && data.length === elementCount(shape)) return data;
  const actual = `${Object.prototype.toString.call(data).slice(8, -1)} of ${data.length}`;
  throw new EvaClipError("ERR_EVACLIP_SHAPE", `input ${name} must be ${expected}, got ${actual}`, {
    field: name,
    expected,
    actual,
  });
}

function unknownInput(name: string, known: string[]): never {
  throw new EvaClipError(
    "ERR_EVACLIP_INVALID_ARGUMENT",
    `the program has no input ${name}; it takes ${known.join(", ")}`,
    {
      field: name,
    },
  );
}

/** What compileByShape returns: programs that are made as they are needed. */
export interface ShapedProgram<Out extends Outputs = Outputs> {
  (inputs: Record<string, HostTensor>): Promise<ProgramResults<Out>>;
  /** The programs kept at this moment. */
  programs(): Promise<Program<Specs, Out>[]>;
  dispose(): void;
}

/**
 * A program for every combination of input shapes, recorded and compiled when it is first seen: packed text has a new
 * length with every bucket. At most `maxPrograms` are kept; the one unused longest goes first.
 */
export function compileByShape<Out extends Outputs>(
  device: Device,
  body: (inputs: Record<string, Tensor>) => Out,
  { maxPrograms = 64, ...options }: CompileOptions & { maxPrograms?: number } = {},
): ShapedProgram<Out> {
  const programs = new Map<string, Promise<Program<Specs, Out>>>();
  const forget = (key: string) => {
    void programs.get(key)?.then(
      (program) => program.dispose(),
      () => undefined,
    );
    programs.delete(key);
  };
  const run = async (inputs: Record<string, HostTensor>) => {
    const specs = Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]),
    );
    const key = JSON.stringify(specs);
    const program = programs.get(key) ?? compile(device, specs, body, options);
    programs.delete(key);
    programs.set(key, program); // the newest last
    program.catch(() => programs.delete(key));
    if (programs.size > maxPrograms) forget(programs.keys().next().value!);
    const data = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, tensor.data]));
    return (await program)(data);
  };
  return Object.assign(run, {
    programs: () => Promise.all(programs.values()),
    dispose: () => {
      for (const key of [...programs.keys()]) forget(key);
    },
  });
}
