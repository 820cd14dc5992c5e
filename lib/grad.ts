import { checkArgument, instanceOf, ownArgument, shortened } from "./arguments";
import { EvaClipError } from "./errors";
import { elementCount } from "./shape";
import { Parameter } from "./parameter";
import { apply, constant, type Fields, Graph, type Operand, operandList, type Step, Tensor } from "./tensor";

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
  const steps = graph.steps.slice();
  const roots = of.map((operand) => graph.resolve(operand));
  const wanted = dependents(roots, steps);
  const gradients = new Map<Tensor, Tensor>([[loss, constant(1, loss.shape)]]);

  for (const step of steps.reverse()) {
    if (!Object.values(step.outputs).some((output) => gradients.has(output))) continue;
    if (!tensorsOf(step.inputs).some((input) => wanted.has(input))) continue;
    const accumulated = takeAccumulated(step, gradients);
    for (const [input, gradient] of inputGradients(step, gradients, accumulated)) {
      if (!wanted.has(input)) continue;
      const sum = gradients.get(input);
      gradients.set(input, sum ? apply("add", { a: sum, b: gradient }).y : gradient);
    }
  }
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

/** The gradients of one step's inputs: pairs of an input and its gradient. */
function inputGradients(
  step: Step,
  gradients: ReadonlyMap<Tensor, Tensor>,
  accumulated: Tensor | undefined,
): [Tensor, Tensor][] {
  const dy = step.primary && gradients.get(step.primary);
  const flowing = Object.values(step.outputs).filter((output) => gradients.has(output)).length;
  if (!step.gradient || !dy || flowing > 1) {
    const what = step.gradient ? "a gradient only through its first output" : "no gradient rule";
    throw new EvaClipError("ERR_EVACLIP_NO_GRADIENT", `${step.op} has ${what}`, { op: step.op });
  }
  const given = step.gradient(dy, step.outputs, accumulated);
  return Object.entries(given).flatMap(([field, value]) => {
    const inputs = step.inputs[field];
    const [tensors, parts] = Array.isArray(inputs) ? [inputs, value as Tensor[]] : [[inputs], [value]];
    return tensors.flatMap((input, i): [Tensor, Tensor][] => {
      const part = parts[i] as Tensor | null | undefined;
      return input && part ? [[input as Tensor, part]] : [];
    });
  });
}
