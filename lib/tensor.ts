import { types } from "node:util";
import { z } from "zod";
import { anyFunction, checkArgument, checkLengths, listOf, ownArgument, reading, text } from "./arguments";
import type { Device } from "./device";
import { EvaClipError } from "./errors";
import { dtypeOf, HostTensor, isNativeArray } from "./host_tensor";
import { type Attribute, type DType, type NativeArray, type NativeGraph, native } from "./native";
import type { OpName, OpOutput } from "./op_outputs";
import { dimensions, Parameter } from "./parameter";

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

/** One recorded op, kept for the gradient walk. */
export interface Step {
  readonly op: string;
  readonly inputs: Readonly<Fields<Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** The first output, the only one that gradients flow through. */
  readonly primary: Tensor | undefined;
  readonly gradient: GradientRule | undefined;
  /** The input whose gradient so far `gradient` is given, and adds to its own. */
  readonly accumulates: string | undefined;
}

/** A computation that is being recorded for a device. */
export class Graph {
  readonly native: NativeGraph = new (native().Graph)();
  readonly steps: Step[] = [];
  /** Operands converted to the other floating-point dtype; one that is used twice is converted once. */
  readonly conversions = new Map<Operand, Tensor>();
  readonly #parameters = new Map<Parameter, Tensor>();

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
  const graph = Graph.current;
  const resolved = reading(`${op}: inputs`, () =>
    mapFields(inputs, (operand, field) => graph.resolve(operand, `${op}: ${field}`)),
  );
  const made = graph.native.apply(
    op,
    mapFields(resolved, (tensor) => tensor.id),
    attributes,
  );
  const outputs = made.map(
    ({ field, id, shape, dtype }) => [field, new Tensor(graph, id, Object.freeze(shape), dtype)] as const,
  );
  const named = Object.fromEntries(outputs) as Record<OpOutput<Op>, Tensor>;
  const primary = outputs[0]?.[1];
  graph.steps.push({ op, inputs: resolved, outputs: named, primary, gradient, accumulates });
  return named;
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
