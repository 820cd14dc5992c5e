import { types } from "node:util";
import { z } from "zod";
import { anyFunction, checkArgument, checkLengths, listOf, ownArgument, reading, text } from "./arguments";
import type { Device } from "./device";
import { EvaClipError } from "./errors";
import { dtypeOf, HostTensor, isNativeArray } from "./host_tensor";
import { type Attribute, type DType, type NativeArray, type NativeGraph, native } from "./native";
import { OP_UPDATES, type OpName, type OpOutput } from "./op_outputs";
import { dimensions, Parameter } from "./parameter";
import { ParameterStack } from "./parameter_stack";

/** A value in a graph that is being recorded: it has a shape and a dtype, but no data. */
export class Tensor {
  /** @internal */
  readonly graph: Graph;
  /** @internal */
  readonly id: number;

  /** @internal */
  constructor(
    graph: Graph,
    id: number,
    readonly shape: readonly number[],
    readonly dtype: DType,
  ) {
    this.graph = graph;
    this.id = id;
  }
}

function isOperand(value: unknown): boolean {
  return (value instanceof Tensor || value instanceof Parameter) && !types.isProxy(value);
}

/** Schemas of op arguments. */
export const anOperand = z.custom<Operand>(isOperand, { error: "a tensor or a parameter" });
export const operandList = listOf(anOperand, "a list of tensors and parameters");

/** Infinity is accepted, but not a finite number that f32 would round to it. */
export const numberAttribute = z
  .custom<number>((value) => typeof value === "number", { error: "a number" })
  .refine((value) => !Number.isFinite(value) || Number.isFinite(Math.fround(value)), {
    error: "a number that f32 can hold",
  });

/** For functions that read their operands before `apply` checks them. */
export function checkOperands(of: string, operands: Readonly<Record<string, Operand>>): void {
  for (const [name, operand] of Object.entries(operands)) {
    checkArgument(`ops.${of}: ${name}`, operand, anOperand);
  }
}

/** An op's input: a recorded value, or a parameter, which is added to the graph on first use. */
export type Operand = Tensor | Parameter;

/** An op's tensors by field name; a list field has an array. */
export type Fields<T> = Record<string, T | null | undefined | readonly (T | null | undefined)[]>;

/**
 * From the gradient of an op's first output to the gradients of its inputs, by field name.
 * @param accumulated For an op recorded with `accumulates`: the gradient of that input so far, which the rule must add.
 */
export type GradientRule<Output extends string = string> = (
  dy: Tensor,
  outputs: Record<Output, Tensor>,
  accumulated: Tensor | undefined,
) => Fields<Tensor>;

/** A rule that may put off gradients until a value it reads has been recomputed. */
type StepGradient<Output extends string = string> = (
  dy: Tensor,
  outputs: Record<Output, Tensor>,
  accumulated: Tensor | undefined,
  wanted: ReadonlySet<Tensor>,
) => Fields<Tensor> | WithDeferred;

/** Gradients known at once, and those that `record` gives from the value of `reads`, which may be recomputed first. */
export interface WithDeferred {
  readonly now: Fields<Tensor>;
  readonly reads: Tensor;
  readonly record: (value: Tensor) => Fields<Tensor>;
}

/** One recorded op, kept for the gradient walk. */
export interface Step {
  readonly op: string;
  readonly inputs: Readonly<Fields<Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** The first output, the only one that gradients flow through. */
  readonly primary: Tensor | undefined;
  readonly gradient: StepGradient | undefined;
  /** The input whose gradient so far `gradient` is given, and adds to its own. */
  readonly accumulates: string | undefined;
  /** Whether `gradient` records its primary output in `Graph.recomputed`. */
  readonly recomputes?: boolean | undefined;
}

/** A computation that is being recorded for a device. */
export class Graph {
  readonly native: NativeGraph = new (native().Graph)();
  readonly steps: Step[] = [];
  /** Operands converted to the other floating-point dtype; one that is used twice is converted once. */
  readonly conversions = new Map<Operand, Tensor>();
  /** Column sums that an op computes together with a tensor: the gradient of a bias, from the gradient of its sum. */
  readonly columnSums = new Map<Tensor, Tensor>();
  /** Outputs of a forward op that its backward op computes again, so that they need not be kept. */
  readonly recomputed = new Map<Tensor, Tensor>();
  /** Parameters that the program changes, with the number of ops that change each. */
  readonly updates = new Map<Parameter, number>();
  /** Gives bf16 copies of weights that ops read instead of converting the weights. */
  weightCopies: { of(weights: readonly Operand[]): readonly Parameter[] | undefined } | undefined;
  /** Whether the blocks of towers keep only their inputs for the backward pass, and compute the rest again. */
  checkpointsBlocks = false;
  readonly #parameters = new Map<Parameter, Tensor>();
  readonly #stacks = new Map<ParameterStack, Tensor>();

  constructor(readonly device: Device) {}

  static #current: Graph | undefined;

  /** The graph that is being recorded. @throws EvaClipError `ERR_EVACLIP_NOT_RECORDING` outside compile. */
  static get current(): Graph {
    if (Graph.#current) return Graph.#current;
    throw new EvaClipError(
      "ERR_EVACLIP_NOT_RECORDING",
      "ops can only be used inside the function given to compile()",
    );
  }

  /** Runs `body`, which must be synchronous, with this graph as the current one. */
  record<T>(body: () => T): T {
    const outer = Graph.#current;
    Graph.#current = this;
    try {
      return body();
    } finally {
      Graph.#current = outer;
    }
  }

  input(dtype: DType, shape: readonly number[]): Tensor {
    return new Tensor(this, this.native.input(dtype, shape), shape, dtype);
  }

  /** The value of an operand in this graph. */
  resolve(operand: Operand, name = "tensor"): Tensor {
    checkArgument(name, operand, anOperand);
    if (operand instanceof Parameter) return this.#parameter(operand);
    if (operand.graph === this) return operand;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", "the tensor belongs to another graph");
  }

  #parameter(parameter: Parameter): Tensor {
    const known = this.#parameters.get(parameter);
    if (known) return known;
    const id = this.native.parameter(parameter.storageOn(this.device));
    const tensor = new Tensor(this, id, parameter.storedShape, parameter.dtype);
    this.#parameters.set(parameter, tensor);
    return tensor;
  }

  /** The rows of all `parts` as one tensor, if they are the parts of a stack that are in memory together. */
  stacked(parts: readonly (Operand | null)[]): Tensor | undefined {
    const stack = parts.find((part) => part instanceof Parameter)?.stack;
    if (!(stack instanceof ParameterStack) || !stack.holds(parts)) return undefined;
    const storage = stack.storageOn(this.device);
    if (!storage) return undefined;
    const known = this.#stacks.get(stack);
    if (known) return known;
    const tensor = new Tensor(this, this.native.parameter(storage), stack.storedShape, stack.dtype);
    this.#stacks.set(stack, tensor);
    return tensor;
  }
}

function mapFields<A, B>(
  fields: Readonly<Fields<A>>,
  convert: (value: A, field: string) => B,
): Record<string, B | null | (B | null)[]> {
  const one = (value: A | null | undefined, field: string): B | null =>
    value === null || value === undefined ? null : convert(value, field);
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (!Array.isArray(value)) return [name, one(value as A | null | undefined, name)];
      checkLengths(name, value);
      return [name, value.map((entry, i) => one(entry, `${name}[${i}]`))];
    }),
  );
}

const anObject = z.custom<object>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  { error: "an object" },
);
const gradientRule = anyFunction.optional();

/** How gradients flow through a recorded op. */
interface GradientFlow<Output extends string> {
  gradient?: StepGradient<Output> | undefined;
  accumulates?: string | undefined;
  recomputes?: boolean | undefined;
  /** The operands that gradients flow to, by the fields of `gradient`'s result. Default: the op's inputs. */
  to?: Fields<Operand>;
}

/** Records one op in the current graph; see `apply`. */
export function record<Op extends OpName>(
  op: Op,
  inputs: Fields<Operand>,
  attributes: Record<string, Attribute | undefined>,
  { gradient, accumulates, recomputes, to }: GradientFlow<OpOutput<Op>>,
): Record<OpOutput<Op>, Tensor> {
  const graph = Graph.current;
  const resolve = (fields: Fields<Operand>) =>
    mapFields(fields, (operand, field) => graph.resolve(operand, `${op}: ${field}`));
  const resolved = reading(`${op}: inputs`, () => resolve(inputs));
  const made = graph.native.apply(
    op,
    mapFields(resolved, (tensor) => tensor.id),
    attributes,
  );
  const outputs = made.map(
    ({ field, id, shape, dtype }) => [field, new Tensor(graph, id, Object.freeze(shape), dtype)] as const,
  );
  const named = Object.fromEntries(outputs) as Record<OpOutput<Op>, Tensor>;
  for (const [field, tensor] of outputs) {
    const summed = field.endsWith("_sums")
      ? named[field.slice(0, -"_sums".length) as OpOutput<Op>]
      : undefined;
    if (summed) graph.columnSums.set(summed, tensor);
  }
  for (const operand of (OP_UPDATES[op] ?? []).flatMap((field) => inputs[field] ?? [])) {
    if (operand instanceof Parameter) graph.updates.set(operand, (graph.updates.get(operand) ?? 0) + 1);
  }
  const primary = outputs[0]?.[1];
  const flow = to ? resolve(to) : resolved;
  graph.steps.push({ op, inputs: flow, outputs: named, primary, gradient, accumulates, recomputes });
  return named;
}

/**
 * Records one op in the current graph; shapes are checked here, at the caller's line.
 * @param op Its name, and the names of its inputs, attributes and outputs, are those of csrc/ops.
 * @param accumulates The input whose gradient the op's gradient kernel can add to, which saves an addition.
 * @returns Its outputs by name.
 * @throws EvaClipError `ERR_EVACLIP_SHAPE`, `ERR_EVACLIP_INVALID_ARGUMENT` or `ERR_EVACLIP_UNKNOWN_OP`.
 */
export function apply<Op extends OpName>(
  op: Op,
  inputs: Fields<Operand>,
  attributes: Record<string, Attribute | undefined> = {},
  gradient?: GradientRule<OpOutput<Op>>,
  accumulates?: string,
): Record<OpOutput<Op>, Tensor> {
  return record(op, inputs, attributes, { gradient, accumulates });
}

/** `apply` with its arguments checked, as it is exported; the functions of `ops` check their own. */
export const publicApply: typeof apply = (op, inputs, attributes = {}, gradient = undefined, ...rest) => {
  checkArgument("apply: op", op, text);
  checkArgument("apply: inputs", inputs, anObject);
  checkArgument("apply: attributes", attributes, anObject);
  checkArgument("apply: gradient", gradient, gradientRule);
  checkArgument("apply: accumulates", rest[0], text.optional());
  return apply(op, inputs, attributes, gradient, ...rest);
};

/** The elements of `x` under another shape of the same size: a view, without a copy. */
export function reshape(x: Operand, shape: readonly number[]): Tensor {
  const graph = Graph.current;
  const from = graph.resolve(x, "reshape: x");
  const own = ownArgument("reshape: shape", shape, dimensions);
  const y = new Tensor(graph, graph.native.reshape(from.id, own), own, from.dtype);
  const gradient: GradientRule = (dy) => ({ x: reshape(dy, from.shape) });
  const step = { op: "reshape", inputs: { x: from }, outputs: { y }, primary: y, gradient };
  graph.steps.push({ ...step, accumulates: undefined });
  return y;
}

/** The shape that ops see: a parameter's, its padding included. */
export function shapeOf(operand: Operand): readonly number[] {
  return Graph.current.resolve(operand).shape;
}

/** Rows begin … end - 1 of `x` along its first dimension: a view, without a copy and without a gradient. */
export function rowsView(x: Tensor, begin: number, end: number): Tensor {
  const graph = Graph.current;
  return new Tensor(graph, graph.native.rows(x.id, begin, end), [end - begin, ...x.shape.slice(1)], x.dtype);
}

const constantData = z.custom<HostTensor | NativeArray | number>(
  (value) => typeof value === "number" || value instanceof HostTensor || isNativeArray(value),
  { error: "a number, a HostTensor, a Float32Array, a Uint16Array, an Int32Array or a Uint8Array" },
);

/** Data stored in the program itself. A Uint16Array is taken as bf16. */
export function constant(data: HostTensor | NativeArray | number, shape: readonly number[] = []): Tensor {
  const graph = Graph.current;
  checkArgument("constant: data", data, constantData);
  const own = ownArgument("constant: shape", shape, dimensions);
  if (typeof data === "number") {
    checkArgument("constant: data", data, numberAttribute);
    return constant(Float32Array.of(data), own);
  }
  const [dtype, dims, array] =
    data instanceof HostTensor ? [data.dtype, data.shape, data.data] : [dtypeOf(data), own, data];
  return new Tensor(graph, graph.native.constant(dtype, dims, array), dims, dtype);
}
