import { modelConfig, parseClipConfig } from "eva-clip";
import * as api from "eva-clip/graph";
import * as training from "eva-clip/train";
import { Graph } from "../lib/tensor";

const { ops, Parameter, HostTensor } = api;
let device: api.Device;
beforeAll(async () => {
  device = await api.Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

/** A value of any type where another was expected, as JavaScript callers pass them. */
const any = (value: unknown) => value as never;

const CODED = /^ERR_EVACLIP_/;
type Failure = Error & { code?: string };

/** What a call inside a recording throws. */
function refusal(call: (x: api.Tensor) => unknown): Failure {
  const graph = new Graph(device);
  try {
    graph.record(() => call(graph.input("f32", [2, 4])));
  } catch (error) {
    return error as Failure;
  }
  throw new Error("accepted");
}

const WRONG = [undefined, null, 5, "x", {}, [], true, Symbol("s"), 7n, () => 1, new Float32Array(2)];
const name = (value: unknown) => (typeof value === "symbol" ? "a symbol" : typeof value);

describe("what is no tensor", () => {
  test.each(Object.keys(ops).filter((key) => typeof ops[key as keyof typeof ops] === "function"))(
    "ops.%s refuses it with a code",
    (key) => {
      const op = ops[key as keyof typeof ops] as (...given: unknown[]) => unknown;
      for (const wrong of WRONG) {
        for (const given of [[wrong], [wrong, wrong], [wrong, wrong, wrong, wrong]]) {
          let failure: Failure | undefined;
          try {
            failure = refusal(() => op(...given));
          } catch {
            continue; // for example global_norm of no gradients
          }
          expect([key, name(wrong), failure.code]).toEqual([key, name(wrong), expect.stringMatching(CODED)]);
        }
      }
    },
  );

  test("the message has the op, the operand, and what was found", () => {
    expect(refusal((x) => ops.add(x, any("five"))).message).toBe(
      'ops.add: b must be a tensor or a parameter, found "five"',
    );
    expect(refusal((x) => ops.gelu(any([x, x]))).message).toContain("gelu: x must be one tensor, not a list");
    expect(refusal((x) => ops.concat([x, any(3)])).message).toBe(
      "ops.concat: xs[1] must be a tensor or a parameter, found 3",
    );
  });
});

const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

describe("options and attributes", () => {
  test.each<[string, (x: api.Tensor) => unknown, string]>([
    ["an unknown one", (x) => ops.matmul(x, x, any({ transposeb: true })), "did you mean transposeB?"],
    ["null", (x) => ops.attention(x, any(null)), "ops.attention: options must be an object, found null"],
    ["none", (x) => ops.attention(x, any(undefined)), "ops.attention: options"],
    ["a string for a number", (x) => ops.attention(x, any({ heads: "2" })), "heads must be an integer"],
    ["a fraction", (x) => ops.slice(x, 0, 1.5), "ops.slice: end must be an integer of at least 0, found 1.5"],
    ["no number", (x) => ops.scale(x, any(undefined)), "ops.scale: factor must be a number"],
    ["a number as text", (x) => ops.scale(x, any("2")), 'ops.scale: factor must be a number, found "2"'],
    [
      "a factor beyond f32",
      (x) => ops.scale(x, 1e39),
      "ops.scale: factor must be a number that f32 can hold",
    ],
    ["a constant beyond f32", () => api.constant(-1e300), "constant: data must be a number that f32"],
    [
      "an initial value beyond f32",
      () => new Parameter("p", [1], { initial: { kind: "constant", value: 1e39 } }),
      "initial.value must be a number that f32 can hold",
    ],
    ["a list without end for a tensor", () => ops.gelu(any(new Array(2 ** 32 - 1))), "at most 1000000"],
    [
      "a parameter behind a Proxy",
      (x) => ops.matmul(x, any(new Proxy(new Parameter("p", [8]), {}))),
      "b must be",
    ],
    [
      "what only has the prototype of a parameter",
      (x) => api.grad(ops.sum(x), [Object.create(Parameter.prototype)]),
      "grad: of[0] must be a tensor or a parameter",
    ],
    ["a revoked Proxy", (x) => ops.add(x, any(revoked())), "ops.add: b cannot be read"],
    ["a dtype that is none", (x) => ops.cast(x, any("f16")), "ops.cast: type must be one of f32, bf16"],
    ["a rate of 1", (x) => ops.dropPath(x, { seed: x, rate: 1, stream: 0 }), "less than 1"],
    ["a shape as text", (x) => api.reshape(x, any("8")), "reshape: shape must be a list of dimensions"],
    ["a negative dimension", (x) => api.reshape(x, [-8]), "reshape: shape[0] must be at least 0, found -8"],
    ["an op of no name", (x) => api.apply(any(5), { x }), "apply: op must be a string, found 5"],
    ["no inputs", () => api.apply("exp", any(null)), "apply: inputs must be an object, found null"],
    ["an attribute as an object", (x) => api.apply("scale", { x }, any({ factor: {} })), "factor"],
    ["an unknown attribute", (x) => api.apply("scale", { x }, { facto: 2 }), "scale has no attribute facto"],
    ["an unknown input", (x) => api.apply("exp", { x, z: x }), "exp has no input z"],
    ["a gradient that is none", (x) => api.apply("exp", { x }, {}, any(5)), "apply: gradient"],
    ["a constant of a string", () => api.constant(any("1")), "constant: data must be a number"],
    ["a loss that is none", (x) => api.grad(any(5), [x]), "grad: loss must be a Tensor, found 5"],
    ["no list to differentiate by", (x) => api.grad(x, any(x)), "grad: of must be a list"],
    ["three tensors of four", (x) => training.siglipLoss(x, x, x, any(1)), "logitBias must be a tensor"],
    ["text for a loss", (x) => training.clipLoss(x, any("x"), x), "text must be a tensor or a parameter"],
  ])("%s", (_, call, message) => {
    const failure = refusal(call);
    expect(failure.message).toContain(message);
    expect(failure.code).toBe("ERR_EVACLIP_INVALID_ARGUMENT");
  });

  test("a tensor of more elements than any machine holds", () => {
    const far = 2 ** 32;
    for (const call of [
      (x: api.Tensor) => ops.pad(x, 0, 2 ** 53 - 1),
      (x: api.Tensor) => api.reshape(x, [far, far]),
      (x: api.Tensor) => ops.keepTokens(ops.slice(x, 0, 0), far, far, far),
      () => api.constant(new Float32Array(0), [far, far]),
    ]) {
      expect(refusal(call).code).toMatch(/^ERR_EVACLIP_(SHAPE|INVALID_ARGUMENT)$/);
    }
    const huge = new Parameter("huge", [far, far]);
    expect(() => huge.allocate(device)).toThrow(expect.objectContaining({ code: "ERR_EVACLIP_SHAPE" }));
    expect(huge.allocated).toBe(false);
  });
});

describe("parameters", () => {
  test.each<[string, () => unknown, string]>([
    ["a name", () => new Parameter(any(5), []), "Parameter: name must be a string, found 5"],
    ["a shape", () => new Parameter("p", any(3)), "Parameter: shape must be a list of dimensions, found 3"],
    ["a dimension", () => new Parameter("p", [1.5]), "Parameter: shape[0] must be an integer"],
    ["an initializer", () => new Parameter("p", [], any({ initial: { kind: "ones" } })), "options.initial"],
    [
      "a value",
      () => new Parameter("p", [], any({ initial: { kind: "constant", value: "1" } })),
      "initial.value",
    ],
    ["a deviation", () => new Parameter("p", [], { initial: { kind: "normal", std: -1 } }), "initial.std"],
    ["a stored shape", () => new Parameter("p", [], any({ storedShape: "" })), "storedShape"],
    ["a device", () => new Parameter("p", []).allocate(any({})), "device must be a Device, found an object"],
    ["a type", () => new Parameter("p", []).allocate(device, any("f16")), "dtype must be one of f32, bf16"],
    ["a host tensor's type", () => new HostTensor(any("f64"), [], any([1])), "HostTensor: dtype"],
    ["a host tensor's data", () => new HostTensor("f32", [1], any([1])), "data must be a Float32Array"],
    ["a model's configuration", () => new training.ClipModel(any({})), "ClipModel: config"],
    ["a model's name", () => modelConfig(any(5)), "modelConfig: name must be a string, found 5"],
    ["a configuration", () => parseClipConfig(5), ""],
    ["rules", () => training.parameterRules(any("all"), any({})), "parameterRules: all"],
    ["locks", () => training.unlockedParameters([], any({ vision: {} })), 'has no field "vision"'],
    ["groups", () => training.unlockedParameters([], { image: { unlockedGroups: 1.5 } }), "unlockedGroups"],
    ["a step", () => training.scheduleFactor(-1, { warmupSteps: 0, totalSteps: 1 }), "step"],
    ["a schedule", () => training.warmupCosine(0, any(undefined)), "warmupCosine: schedule"],
    ["a model to allocate", () => training.allocateModel(any({}), device), "allocateModel: model"],
  ])("%s that cannot be", (_, call, message) => {
    expect(call).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/^ERR_EVACLIP_INVALID_(ARGUMENT|CONFIG)$/),
        message: expect.stringContaining(message),
      }),
    );
  });

  test("promises reject, and do not throw", async () => {
    const parameter = new Parameter("p", [2]);
    parameter.allocate(device);
    const model = new training.ClipModel(modelConfig("ViT-B-32"));
    for (const call of [
      () => parameter.write(any("12")),
      () => parameter.write(any(null)),
      () => parameter.load(any(5)),
      () => parameter.load([any({ tensor: null })]),
      () => api.initializeParameters(any(5), []),
      () => api.initializeParameters(device, any("p")),
      () => api.initializeParameters(device, [parameter], 2 ** 40),
      () => training.initializeModel(model, device, any({ sed: 5 })),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
    }
    await expect(parameter.write(new Float32Array(3))).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
    parameter.dispose();
    await expect(parameter.write(new Float32Array(2))).rejects.toMatchObject({
      code: "ERR_EVACLIP_DISPOSED",
    });
  });
});

describe("optimizers", () => {
  const rule = {
    parameter: new Parameter("p", [2]),
    tower: "image" as const,
    layerScale: 1,
    learningRate: 1,
    weightDecay: 0,
  };
  test.each<[string, object, object]>([
    ["learningRate", { learningRate: Number.NaN }, {}],
    ["learningRate", { learningRate: -1 }, {}],
    ["learningRate", { learningRate: Number.POSITIVE_INFINITY }, {}],
    ["weightDecay", { weightDecay: Number.NaN }, {}],
    ["beta1", {}, { beta1: 1 }],
    ["beta2", {}, { beta2: 1 }],
    ["beta1", {}, { beta1: -0.1 }],
    ["beta2", {}, { beta2: Number.NaN }],
    ["eps", {}, { eps: 0 }],
    ["eps", {}, { eps: Number.NaN }],
    ["clipNorm", {}, { clipNorm: -1 }],
    ["clipNorm", {}, { clipNorm: "1" }],
    ["betal", {}, { betal: 0.9 }],
  ])("%s that cannot be", (field, changed, options) => {
    for (const Optimizer of [training.AdamW, training.Lamb]) {
      expect(() => new Optimizer([{ ...rule, ...changed }], options)).toThrow(
        expect.objectContaining({
          code: "ERR_EVACLIP_INVALID_ARGUMENT",
          message: expect.stringContaining(field),
        }),
      );
    }
  });
});
