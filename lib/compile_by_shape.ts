import {
  anyFunction,
  checkArgument,
  instanceOf,
  invalidArgument,
  options,
  ownArgument,
  positiveInteger,
} from "./arguments";
import {
  type CompileOptions,
  compileChecked,
  compileOptions,
  type InputSpecs,
  type OutputTensors,
  type Program,
  type ProgramResults,
  type TensorSpec,
} from "./compile";
import { type Device, deviceArgument } from "./device";
import { EvaClipError } from "./errors";
import { dtypeArgument, HostTensor, inSharedMemory, shapeArgument } from "./host_tensor";
import { StagedInputs } from "./staged_inputs";
import { z } from "zod";
import type { Tensor } from "./tensor";

export interface CompileByShapeOptions extends CompileOptions {
  /** Programs kept at the same time; the least recently used one is disposed. Default 64. */
  maxPrograms?: number;
}

const shapedOptions = options({ ...compileOptions, maxPrograms: positiveInteger.optional() });
const stagedArgument = instanceOf(StagedInputs);
const restArgument = z.record(z.string(), options({ dtype: dtypeArgument, shape: shapeArgument }), {
  error: "an object with a spec for each input that the run is given",
});
const tensorsArgument = z.record(z.string(), instanceOf(HostTensor), { error: "an object of HostTensors" });

/** A function over tensors of any shape: a program for each combination of input shapes, compiled on first use. */
export interface ShapedProgram<Out extends OutputTensors = OutputTensors> extends Disposable {
  (inputs: Record<string, HostTensor>): Promise<ProgramResults<Out>>;
  /** A run with inputs that were staged, and those whose specs were given to `stage`. */
  (inputs: Record<string, HostTensor>, staged: StagedInputs): Promise<ProgramResults<Out>>;
  /**
   * Inputs for one later run, as `stage` of a `Program`, which is compiled first where it is not yet.
   * @param rest The specs of all inputs that the run is given.
   */
  stage(inputs: Record<string, HostTensor>, rest?: Record<string, TensorSpec>): Promise<StagedInputs>;
  /** Compiles the program for inputs of these shapes, unless it is compiled already. */
  prepare(inputs: Record<string, HostTensor>): Promise<void>;
  /** The programs kept at the moment, least recently used first. */
  programs(): Promise<Program<InputSpecs, Out>[]>;
  /** Disposes every program; later calls reject with `ERR_EVACLIP_DISPOSED`. Idempotent. */
  dispose(): void;
}

/** A program of the cache; `ready` once it is compiled. */
interface Entry<Out extends OutputTensors> {
  readonly compiling: Promise<Program<InputSpecs, Out>>;
  ready: Program<InputSpecs, Out> | undefined;
}

/** Programs by the dtypes and shapes of their inputs, at most `capacity`: the least recently used one is evicted. */
class ProgramCache<Out extends OutputTensors> {
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry<Out>>();

  constructor(
    private readonly compile: (specs: InputSpecs) => Promise<Program<InputSpecs, Out>>,
    private readonly capacity: number,
  ) {}

  /** The program for these inputs, which may be compiling still. */
  entry(specs: InputSpecs): Entry<Out> {
    const key = JSON.stringify(specs);
    const entry = this.#entries.get(key) ?? this.#begin(key, specs);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > this.capacity) this.#evict(this.#entries.keys().next().value!);
    return entry;
  }

  /** Every program kept, once it is compiled. */
  programs(): Promise<Program<InputSpecs, Out>[]> {
    return Promise.all([...this.#entries.values()].map(({ compiling }) => compiling));
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.#evict(key);
  }

  #begin(key: string, specs: InputSpecs): Entry<Out> {
    const entry: Entry<Out> = { compiling: this.compile(specs), ready: undefined };
    entry.compiling.then(
      (program) => {
        entry.ready = program;
      },
      // A failure is not cached: the next call tries again.
      () => {
        if (this.#entries.get(key) === entry) this.#entries.delete(key);
      },
    );
    return entry;
  }

  #evict(key: string): void {
    this.#entries.get(key)?.compiling.then(
      (program) => program.dispose(),
      () => undefined,
    );
    this.#entries.delete(key);
  }
}

function mapValues<T, U>(values: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));
}

/**
 * `compile` for inputs of varying shapes, such as packed text: each combination of shapes is recorded and compiled when
 * it is first seen. Inputs of a program that is still compiling are copied, so they may be changed at once.
 */
export function compileByShape<Out extends OutputTensors>(
  device: Device,
  body: (inputs: Record<string, Tensor>) => Out,
  how: CompileByShapeOptions = {},
): ShapedProgram<Out> {
  checkArgument("compileByShape: device", device, deviceArgument);
  checkArgument("compileByShape: body", body, anyFunction);
  const { maxPrograms = 64, ...compiling } = ownArgument("compileByShape: options", how, shapedOptions);
  const cache = new ProgramCache((specs) => compileChecked(device, specs, body, compiling), maxPrograms);
  let disposed = false;
  const programOf = new WeakMap<StagedInputs, Program<InputSpecs, Out>>();
  const find = (given: Record<string, HostTensor>, rest: Record<string, TensorSpec> = {}) => {
    const inputs = ownArgument("a program's inputs", given, tensorsArgument);
    if (disposed) throw new EvaClipError("ERR_EVACLIP_DISPOSED", "the programs were disposed");
    const specs = mapValues(inputs, ({ dtype, shape }) => ({ dtype, shape }));
    return { inputs, entry: cache.entry({ ...specs, ...rest }) };
  };
  const stage = async (given: Record<string, HostTensor>, rest: Record<string, TensorSpec> = {}) => {
    const specs = ownArgument("a program's inputs", rest, restArgument);
    const { inputs, entry } = find(given, specs);
    const data = mapValues(inputs, (tensor) => tensor.data);
    const copies = entry.ready ? data : mapValues(data, inSharedMemory);
    const program = entry.ready ?? (await entry.compiling);
    const staged = await program.stage(copies);
    programOf.set(staged, program);
    return staged;
  };
  const runStaged = async (given: Record<string, HostTensor>, of: StagedInputs) => {
    const staged = ownArgument("a program's staged inputs", of, stagedArgument);
    const inputs = ownArgument("a program's inputs", given, tensorsArgument);
    const program = programOf.get(staged);
    if (!program) throw invalidArgument("the staged inputs are those of another program");
    return program(
      mapValues(inputs, (tensor) => tensor.data),
      staged,
    );
  };
  const prepare = async (given: Record<string, HostTensor>) => {
    const { entry } = find(given);
    if (!entry.ready) await entry.compiling;
  };
  const run = async (given: Record<string, HostTensor>, staged?: StagedInputs) => {
    if (staged !== undefined) return runStaged(given, staged);
    const { inputs, entry } = find(given);
    const data = mapValues(inputs, (tensor) => tensor.data);
    if (entry.ready) return entry.ready(data);
    const copies = mapValues(data, inSharedMemory);
    return (await entry.compiling)(copies);
  };
  const dispose = () => {
    disposed = true;
    cache.clear();
  };
  const methods = { prepare, stage, programs: () => cache.programs(), dispose, [Symbol.dispose]: dispose };
  return Object.assign(run, methods);
}
