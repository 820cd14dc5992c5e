// A custom layer, trained by gradient descent: a two-layer network with a residual branch learns to tell whether a point is
// inside a ring.
//   node -C eva-clip-source -r ts-node/register/transpile-only examples/custom_layer.ts
import { CounterRandom } from "eva-clip/data";
import {
  compile,
  Device,
  grad,
  initializeParameters,
  LayerNorm,
  Linear,
  Module,
  ops,
  Scope,
  spec,
  type Tensor,
} from "eva-clip/graph";
import { AdamW, parameterRules } from "eva-clip/train";

const WIDTH = 32;
const BATCH = 64;
const normal = (inputs: number) => ({ kind: "normal", std: inputs ** -0.5 }) as const;

/** x + W₂ gelu(W₁ LN(x)). [..., width] → [..., width] */
class ResidualBranch extends Module {
  readonly norm: LayerNorm;
  readonly input: Linear;
  readonly output: Linear;

  constructor(scope: Scope, width: number) {
    super();
    const shape = { inputs: width, outputs: width, init: normal(width) };
    this.norm = new LayerNorm(scope.at("norm"), width, 1e-5);
    this.input = new Linear(scope.at("input"), shape);
    this.output = new Linear(scope.at("output"), shape);
  }

  forward(x: Tensor): Tensor {
    const hidden = this.input.forward(this.norm.forward(x), { activation: "gelu" });
    return this.output.forward(hidden, { residual: x });
  }
}

/** The logit that a point [B, 2] is inside the ring. → [B, 1] */
class RingClassifier extends Module {
  readonly input: Linear;
  readonly branch: ResidualBranch;
  readonly head: Linear;

  constructor(scope = new Scope()) {
    super();
    this.input = new Linear(scope.at("input"), { inputs: 2, outputs: WIDTH, init: normal(2) });
    this.branch = new ResidualBranch(scope.at("branch"), WIDTH);
    this.head = new Linear(scope.at("head"), { inputs: WIDTH, outputs: 1, init: normal(WIDTH) });
    scope.checkHeldBy(this);
  }

  forward(points: Tensor): Tensor {
    return this.head.forward(this.branch.forward(this.input.forward(points)));
  }
}

/** Points of a step and 1 or -1 for those inside and outside of the ring. */
function batchOf(step: number): { points: Float32Array; signs: Float32Array } {
  const random = new CounterRandom(1, step);
  const points = Float32Array.from({ length: 2 * BATCH }, () => random.uniform(-1.5, 1.5));
  const signs = Float32Array.from({ length: BATCH }, (_, b) => {
    const radius = Math.hypot(points[2 * b]!, points[2 * b + 1]!);
    return radius > 0.5 && radius < 1.1 ? 1 : -1;
  });
  return { points, signs };
}

/** Trains for `steps` steps. → the loss of each */
export async function trainRing(steps = 200): Promise<number[]> {
  await using device = await Device.open("cpu");
  const model = new RingClassifier();
  for (const parameter of model.parameters()) parameter.allocate(device);
  await initializeParameters(device, model.parameters(), 7);
  const settings = { learningRate: 0.01, weightDecay: 0 };
  const rules = parameterRules(model.parameters(), { image: settings, text: settings, other: settings });
  const optimizer = new AdamW(rules);
  await optimizer.allocate(device);

  const inputs = {
    points: spec("f32", [BATCH, 2]),
    signs: spec("f32", [BATCH, 1]),
    step: spec("i32", []),
    learningRates: spec("f32", [optimizer.parameters.length]),
  };
  const update = await compile(device, inputs, ({ points, signs, step, learningRates }) => {
    // log(1 + e^(-sign · logit)), the logistic loss.
    const loss = ops.mean(ops.softplus(ops.negate(ops.multiply(model.forward(points), signs))));
    optimizer.update(grad(loss, optimizer.parameters), { learningRates, step });
    return { loss };
  });

  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const result = await update({
      ...batchOf(step),
      step: Int32Array.of(step + 1),
      learningRates: optimizer.learningRatesAt(1),
    });
    losses.push(result.loss.item());
  }
  return losses;
}

if (require.main === module) {
  void trainRing().then((losses) => {
    console.log(`loss ${losses[0]!.toFixed(3)} at the first step, ${losses.at(-1)!.toFixed(3)} at the last`);
  });
}
