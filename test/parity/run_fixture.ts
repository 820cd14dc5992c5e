import { type Device, parseClipConfig } from "eva-clip";
import { packPadded } from "eva-clip/data";
import { compile, grad, type HostTensor, ops, type Parameter, spec, type Tensor } from "eva-clip/graph";
import { ClipModel, clipLoss, type GroupSettings, Lamb, parameterRules, warmupCosine } from "eva-clip/train";
import { type Fixture, type FixtureOptimizer, tensorOf, tensorsBelow } from "./fixture";
import { relativeError, type Worst, worst } from "./relative_error";

/** The largest relative L2 error of each group of a fixture's outputs; the last two if it has optimizer steps. */
export interface Parity {
  eval: Worst;
  loss: Worst;
  grad: Worst;
  /** The loss of each of three LAMB steps, and every parameter after them. */
  lamb?: Worst;
  /**
   * The gradient norm of each step, reported without a tolerance: small random models amplify errors, and rounding the
   * weights to f32 changes the third norm of eva02_e by 2e-4 in double precision.
   */
  gradientNorm?: Worst;
}

const STEPS = 3;

/** The published weights of a fixture on a device, under the configuration's keys. */
export async function loadModel(
  device: Device,
  fixture: Fixture,
  type: "f32" | "bf16" = "f32",
): Promise<ClipModel> {
  const model = new ClipModel(parseClipConfig(fixture.config), { precision: type });
  const weights = tensorsBelow(fixture, "weights/");
  const state = model.stateDict();
  const missing = [...state.keys()].filter((key) => !weights.has(key));
  const unexpected = [...weights.keys()].filter((key) => !state.has(key));
  if (missing.length + unexpected.length > 0) {
    throw new Error(`${fixture.path}: missing ${missing.join(", ")}; unexpected ${unexpected.join(", ")}`);
  }
  for (const [key, parameter] of state) {
    parameter.allocate(device);
    await parameter.write(weights.get(key)!.data);
  }
  return model;
}

/** The fixture's batch as inputs of a program. */
export function inputsOf(fixture: Fixture) {
  const images = tensorOf(fixture, "in/images");
  const tokens = tensorOf(fixture, "in/tokens");
  const kept = tensorOf(fixture, "train/keep_indices");
  const text = packPadded(tokens.data as Int32Array, tokens.shape[1]!);
  const data = { images: images.data, kept: kept.data, ...text };
  const specs = {
    images: spec("f32", images.shape),
    kept: spec("i32", kept.shape),
    tokens: spec("i32", [text.tokens.length]),
    cuSeqlens: spec("i32", [text.cuSeqlens.length]),
    textEnds: spec("i32", [text.textEnds.length]),
  };
  return { data, specs };
}

export type Inputs = Record<"images" | "kept" | "tokens" | "cuSeqlens" | "textEnds", Tensor>;

export function trainingPass(model: ClipModel, x: Inputs) {
  const image = model.image.encode(x.images, { kept: x.kept });
  const text = model.text.encode(x);
  const { precision: type } = model.image;
  const { loss } = clipLoss(ops.convert(image, type), ops.convert(text, type), model.logitScale);
  return { image, text, loss };
}

/** Runs `body` on the fixture's batch, and compares its outputs, read by `read`, with the fixture's tensors. */
async function compareOutputs(
  device: Device,
  fixture: Fixture,
  body: (x: Inputs) => Record<string, Tensor>,
  read = (_name: string, output: HostTensor) => output,
): Promise<Worst> {
  const { data, specs } = inputsOf(fixture);
  const program = await compile(device, specs, body);
  const results = await program(data);
  program.dispose();
  const expected = (name: string) => tensorOf(fixture, name).data;
  const errors = Object.entries(results).map(
    ([name, actual]) => [name, relativeError(read(name, actual).data, expected(name))] as const,
  );
  return worst(errors);
}

function evaluation(model: ClipModel, x: Inputs): Record<string, Tensor> {
  const logits = ops.matmul(model.image.encode(x.images), model.text.encode(x), { transposeB: true });
  const training = trainingPass(model, x);
  return {
    "eval/image_features": model.image.features(x.images),
    "eval/text_features": model.text.features(x),
    "eval/logits_per_image": ops.multiply(logits, ops.exp(model.logitScale)),
    "train/image_features": training.image,
    "train/text_features": training.text,
  };
}

function gradients(model: ClipModel, x: Inputs): Record<string, Tensor> {
  const parameters = model.parameters();
  const found = grad(trainingPass(model, x).loss, parameters);
  return Object.fromEntries(parameters.map(({ name }, i) => [`grad/${name}`, found[i]!]));
}

function compareGradients(device: Device, fixture: Fixture, model: ClipModel): Promise<Worst> {
  const named = new Map(model.parameters().map((parameter) => [`grad/${parameter.name}`, parameter]));
  const withoutPadding = (name: string, gradient: HostTensor) => named.get(name)!.withoutPadding(gradient);
  return compareOutputs(device, fixture, (x) => gradients(model, x), withoutPadding);
}

function groupSettings(optimizer: FixtureOptimizer): GroupSettings {
  const { visual_lr, visual_wd, visual_ld, text_lr, text_wd, text_ld, lr, wd } = optimizer;
  return {
    image: { learningRate: visual_lr, weightDecay: visual_wd, layerDecay: visual_ld },
    text: { learningRate: text_lr, weightDecay: text_wd, layerDecay: text_ld },
    other: { learningRate: lr, weightDecay: wd },
  };
}

/** Three LAMB steps on the same batch. */
async function compareLamb(
  device: Device,
  fixture: Fixture,
  model: ClipModel,
  settings: FixtureOptimizer,
): Promise<Pick<Parity, "lamb" | "gradientNorm">> {
  const { beta1, beta2, eps, max_grad_norm: clipNorm, warmup, total_steps } = settings;
  const rules = parameterRules(model.parameters(), groupSettings(settings));
  const optimizer = new Lamb(rules, { beta1, beta2, eps, clipNorm, variant: "apex" });
  await optimizer.allocate(device);

  const { data, specs } = inputsOf(fixture);
  const inputs = { ...specs, learningRates: spec("f32", [rules.length]), step: spec("i32", []) };
  const program = await compile(device, inputs, ({ learningRates, step, ...x }) => {
    const { loss } = trainingPass(model, x);
    const { gradientNorm } = optimizer.update(grad(loss, optimizer.parameters), { learningRates, step });
    model.clampLogitScale();
    return { loss, gradientNorm };
  });
  const losses: [string, number][] = [];
  const norms: [string, number][] = [];
  const errorOf = (key: string, value: number) =>
    [key, relativeError([value], tensorOf(fixture, key).data)] satisfies [string, number];
  for (let step = 0; step < STEPS; step++) {
    const factor = warmupCosine(step, { warmupSteps: warmup, totalSteps: total_steps });
    const counters = { learningRates: optimizer.learningRatesAt(factor), step: Int32Array.of(step + 1) };
    const { loss, gradientNorm } = await program({ ...data, ...counters });
    losses.push(errorOf(`lamb/loss_step${step}`, loss.item()));
    norms.push(errorOf(`lamb/grad_norm_step${step}`, gradientNorm.item()));
  }
  program.dispose();
  const parameters = await compareParameters(fixture, model.parameters());
  optimizer.dispose();
  return { lamb: worst([...losses, ...parameters]), gradientNorm: worst(norms) };
}

async function compareParameters(
  fixture: Fixture,
  parameters: readonly Parameter[],
): Promise<[string, number][]> {
  const errors: [string, number][] = [];
  for (const parameter of parameters) {
    const key = `lamb/after${STEPS}/${parameter.name}`;
    const { data } = await parameter.read();
    errors.push([key, relativeError(data, tensorOf(fixture, key).data)]);
  }
  return errors;
}

/** Computes all outputs of a fixture and compares them. */
export async function runFixture(device: Device, fixture: Fixture): Promise<Parity> {
  const model = await loadModel(device, fixture);
  try {
    return {
      eval: await compareOutputs(device, fixture, (x) => evaluation(model, x)),
      loss: await compareOutputs(device, fixture, (x) => ({ "train/loss": trainingPass(model, x).loss })),
      grad: await compareGradients(device, fixture, model),
      ...(fixture.optimizer && (await compareLamb(device, fixture, model, fixture.optimizer))),
    };
  } finally {
    model.dispose();
  }
}
