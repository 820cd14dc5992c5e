import { anyFunction, checkArgument, instanceOf } from "./arguments";
import { backpropagate } from "./grad";
import { Graph, type Step, Tensor } from "./tensor";

const aTensor = instanceOf(Tensor);

/**
 * body(x), of which only x is kept for the gradient: the backward pass records `body` again, so its values are computed
 * twice and, in between, take no memory (Chen et al. 2016). The results are the same bits as without.
 * @param body Records ops; must do the same each time.
 */
export function checkpoint(body: (x: Tensor) => Tensor, x: Tensor): Tensor {
  checkArgument("checkpoint: body", body, anyFunction);
  checkArgument("checkpoint: x", x, aTensor);
  const graph = Graph.current;
  const recorded = recordApart(graph, body, x);
  const inputs = inputsOf(recorded.steps);
  const y = recorded.result;
  graph.steps.push({
    op: "checkpoint",
    inputs: { inputs },
    outputs: { y },
    primary: y,
    accumulates: undefined,
    gradient: (dy, _outputs, _accumulated, wanted) => {
      const again = recordApart(graph, body, x);
      const roots = inputs.filter((input) => wanted.has(input));
      const gradients = backpropagate(again.steps, new Map([[again.result, dy]]), roots);
      return { inputs: inputs.map((input) => gradients.get(input)) };
    },
  });
  return y;
}

/** Records body(x) without adding its steps to those of the graph, whose gradients are recorded one by one. */
function recordApart(
  graph: Graph,
  body: (x: Tensor) => Tensor,
  x: Tensor,
): { result: Tensor; steps: Step[] } {
  const before = graph.steps.length;
  const result = body(x);
  checkArgument("checkpoint: the result of body", result, aTensor);
  return { result, steps: graph.steps.splice(before) };
}

/** What the steps read and do not compute themselves. */
function inputsOf(steps: readonly Step[]): Tensor[] {
  const computed = new Set(steps.flatMap(({ outputs }) => Object.values(outputs)));
  const read = steps.flatMap(({ inputs }) => Object.values(inputs).flat());
  return [...new Set(read)].filter((tensor): tensor is Tensor => Boolean(tensor) && !computed.has(tensor!));
}
