import { checkArgument, instanceOf, ownArgument, shortened } from "./arguments";
import { EvaClipError } from "./errors";
import { elementCount } from "./shape";
import { Parameter } from "./parameter";
import {
  apply,
  constant,
  type Fields,
  Graph,
  type Operand,
  operandList,
  type Step,
  Tensor,
  type WithDeferred,
} from "./tensor";

const aTensor = instanceOf(Tensor);

/**
 * The gradients of the scalar `loss` with respect to each operand of `given`, in their order, recorded into the same
 * graph. Only ops between those operands and the loss are differentiated: a frozen tower costs no backward work.
 * @throws EvaClipError `ERR_EVACLIP_NO_GRADIENT` when the loss does not depend on one of them, or an op between has no
 *   gradient rule; `ERR_EVACLIP_SHAPE` when the loss is not a scalar f32
 */
export function grad<const Of extends readonly Operand[]>(
  loss: Tensor,
  given: Of,
): { -readonly [K in keyof Of]: Tensor } {
  checkArgument("grad: loss", loss, aTensor);
  const of: readonly Operand[] = ownArgument("grad: of", given, operandList);
  if (elementCount(loss.shape) !== 1 || loss.dtype !== "f32") {
    throw new EvaClipError(
      "ERR_EVACLIP_SHAPE",
      `grad needs a scalar f32 loss, got ${loss.dtype} [${loss.shape.join(", ")}]`,
    );
  }
  const graph = Graph.current;
  const roots = of.map((operand) => graph.resolve(operand));
  const gradients = backpropagate(graph.steps.slice(), new Map([[loss, constant(1, loss.shape)]]), roots);
  const found = roots.map((root, i) => {
    const gradient = gradients.get(root);
    if (gradient) return gradient;
    const name = of[i] instanceof Parameter ? shortened(of[i].name) : `tensor ${i}`;
    throw new EvaClipError("ERR_EVACLIP_NO_GRADIENT", `the loss does not depend on ${name}`, {
      tensor: name,
    });
  });
  return found as { -readonly [K in keyof Of]: Tensor };
}

/**
 * Walks `steps` backward and records the gradients of their inputs.
 * @param seeds The gradients of the results.
 * @param roots The tensors whose gradients are wanted; the others only where they lead to one of these.
 * @returns The gradients so far of all tensors on the way.
 */
export function backpropagate(
  steps: readonly Step[],
  seeds: ReadonlyMap<Tensor, Tensor>,
  roots: readonly Tensor[],
): Map<Tensor, Tensor> {
  const walk = new Walk(steps, seeds, dependents(roots, steps));
  for (const step of steps.toReversed()) walk.visit(step);
  return walk.gradients;
}

class Walk {
  readonly gradients: Map<Tensor, Tensor>;
  /** The step that computed each tensor. */
  private readonly producers: ReadonlyMap<Tensor, Step>;
  /** Gradients that wait for the backward op of a step, which recomputes the value that they read. */
  private readonly waiting = new Map<Step, (() => void)[]>();

  constructor(
    steps: readonly Step[],
    seeds: ReadonlyMap<Tensor, Tensor>,
    private readonly wanted: ReadonlySet<Tensor>,
  ) {
    this.gradients = new Map(seeds);
    this.producers = new Map(
      steps.flatMap((step) => Object.values(step.outputs).map((output) => [output, step] as const)),
    );
  }

  visit(step: Step): void {
    const { gradients, wanted } = this;
    if (!Object.values(step.outputs).some((output) => gradients.has(output))) return;
    if (!tensorsOf(step.inputs).some((input) => wanted.has(input))) return;
    const accumulated = takeAccumulated(step, gradients);
    const given = stepGradient(step, gradients)(
      gradients.get(step.primary!)!,
      step.outputs,
      accumulated,
      wanted,
    );
    if (isDeferred(given)) {
      this.add(step, given.now);
      const finish = () =>
        this.add(step, given.record(Graph.current.recomputed.get(given.reads) ?? given.reads));
      const waiting = this.waitingFor(step, given);
      if (waiting) waiting.push(finish);
      else finish();
    } else {
      this.add(step, given);
    }
    for (const finish of this.waiting.get(step) ?? []) finish();
  }

  /**
   * The gradients that wait for the step that computes `reads`; undefined where these must not wait: that step has no
   * backward op in this walk, or an earlier step needs them.
   */
  private waitingFor(step: Step, { reads, now }: WithDeferred): (() => void)[] | undefined {
    const producer = this.producers.get(reads);
    if (!producer?.recomputes || !this.gradients.has(reads)) return undefined;
    const later = Object.fromEntries(Object.entries(step.inputs).filter(([field]) => !(field in now)));
    if (tensorsOf(later).some((input) => this.wanted.has(input) && this.producers.has(input)))
      return undefined;
    const waiting = this.waiting.get(producer) ?? [];
    this.waiting.set(producer, waiting);
    return waiting;
  }

  /** Adds a step's gradients to those of its inputs so far. */
  private add(step: Step, given: Readonly<Fields<Tensor>>): void {
    for (const [input, gradient] of inputGradients(step, given)) {
      if (!this.wanted.has(input)) continue;
      const sum = this.gradients.get(input);
      this.gradients.set(input, sum ? apply("add", { a: sum, b: gradient }).y : gradient);
    }
  }
}

function isDeferred(given: Readonly<Fields<Tensor>> | WithDeferred): given is WithDeferred {
  return typeof given.record === "function";
}

/** The gradient so far of the input that the step's rule adds to; the rule's own takes its place. */
function takeAccumulated(step: Step, gradients: Map<Tensor, Tensor>): Tensor | undefined {
  const input = step.accumulates === undefined ? undefined : step.inputs[step.accumulates];
  if (!(input instanceof Tensor)) return undefined;
  const accumulated = gradients.get(input);
  gradients.delete(input);
  return accumulated;
}

function tensorsOf(fields: Readonly<Fields<Tensor>>): Tensor[] {
  return Object.values(fields)
    .flat()
    .filter((value): value is Tensor => value !== null && value !== undefined);
}

/** `roots` and every tensor computed from one of them. */
function dependents(roots: readonly Tensor[], steps: readonly Step[]): Set<Tensor> {
  const found = new Set(roots);
  for (const step of steps) {
    if (!tensorsOf(step.inputs).some((input) => found.has(input))) continue;
    for (const output of Object.values(step.outputs)) found.add(output);
  }
  return found;
}

/** The step's gradient rule. @throws EvaClipError when it has none, or a gradient flows to another output than its first. */
function stepGradient(step: Step, gradients: ReadonlyMap<Tensor, Tensor>): NonNullable<Step["gradient"]> {
  const flowing = Object.values(step.outputs).filter((output) => gradients.has(output)).length;
  const reached = step.primary !== undefined && gradients.has(step.primary);
  if (step.gradient && reached && flowing === 1) return step.gradient;
  const what = step.gradient ? "a gradient only through its first output" : "no gradient rule";
  throw new EvaClipError("ERR_EVACLIP_NO_GRADIENT", `${step.op} has ${what}`, { op: step.op });
}

/** Pairs of an input of the step and its gradient. */
function inputGradients(step: Step, given: Readonly<Fields<Tensor>>): [Tensor, Tensor][] {
  return Object.entries(given).flatMap(([field, value]) => {
    const inputs = step.inputs[field];
    const [tensors, parts] = Array.isArray(inputs) ? [inputs, value as Tensor[]] : [[inputs], [value]];
    return tensors.flatMap((input, i): [Tensor, Tensor][] => {
      const part = parts[i] as Tensor | null | undefined;
      return input && part ? [[input as Tensor, part]] : [];
    });
  });
}
