// One correct call of every public function that only has a meaning while a program is recorded.
import * as eva from "./public_names";
import type { PublicCall } from "./public_calls";

/** Tensors of the program: those of `recordedInputs`. */
export interface Recorded {
  readonly x: eva.Tensor;
  readonly w: eva.Tensor;
  readonly v: eva.Tensor;
  readonly ids: eva.Tensor;
  readonly one: eva.Tensor;
  readonly images: eva.Tensor;
  readonly seed: eva.Tensor;
  readonly lengths: eva.Tensor;
}

export const recordedInputs = {
  x: eva.spec("f32", [4, 8]),
  w: eva.spec("f32", [4, 8]),
  v: eva.spec("f32", [8]),
  ids: eva.spec("i32", [4]),
  one: eva.spec("f32", []),
  images: eva.spec("u8", [2, 8, 8, 3]),
  seed: eva.spec("i32", [2]),
  lengths: eva.spec("i32", [3]),
};

const { ops } = eva;

export const recordedCalls: Readonly<Record<string, (t: Recorded) => PublicCall>> = {
  apply: ({ x }) => ({ target: eva.apply, given: ["scale", { x }, { factor: 2, offset: 0 }] }),
  reshape: ({ x }) => ({ target: eva.reshape, given: [x, [8, 4]] }),
  constant: () => ({ target: eva.constant, given: [new Float32Array(4), [2, 2]] }),
  grad: ({ x }) => ({ target: eva.grad, given: [ops.mean(x), [x]] }),
  checkpoint: ({ x }) => ({ target: eva.checkpoint, given: [(y: eva.Tensor) => ops.gelu(y), x] }),
  clipLoss: ({ x, w, one }) => ({ target: eva.clipLoss, given: [x, w, one] }),
  siglipLoss: ({ x, w, one }) => ({ target: eva.siglipLoss, given: [x, w, one, one] }),
  "ops.clipLoss": ({ x, w, one }) => ({ target: ops.clipLoss, given: [x, w, one] }),
  "ops.affineSample": ({ images, x }) => ({
    target: ops.affineSample,
    given: [images, { transform: x, background: x, color: x, size: 4 }],
  }),
  "ops.attention": ({ x }) => ({
    target: ops.attention,
    given: [ops.concat([x, x, x]), { heads: 2, causal: true }],
  }),
  ...Object.fromEntries(
    (["add", "subtract", "multiply", "divide", "geluBackward", "quickGeluBackward"] as const).map((name) => [
      `ops.${name}`,
      ({ x, w }: Recorded) => ({ target: ops[name], given: [x, w] }),
    ]),
  ),
  ...Object.fromEntries(
    (
      [
        ...(["negate", "exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "gelu", "quickGelu"] as const),
        ...(["transpose", "sumLast", "sum", "mean", "softmax", "logSoftmax"] as const),
      ] as const
    ).map((name) => [`ops.${name}`, ({ x }: Recorded) => ({ target: ops[name], given: [x] })]),
  ),
  "ops.scale": ({ x }) => ({ target: ops.scale, given: [x, 2, 1] }),
  "ops.cast": ({ x }) => ({ target: ops.cast, given: [x, "bf16"] }),
  "ops.convert": ({ x }) => ({ target: ops.convert, given: [x, "bf16"] }),
  "ops.embedding": ({ ids, lengths, w }) => ({
    target: ops.embedding,
    given: [{ tokens: ids, cuSeqlens: lengths }, w, w, "f32"],
  }),
  "ops.keepTokens": ({ seed }) => ({ target: ops.keepTokens, given: [seed, 2, 8, 4] }),
  "ops.dropPath": ({ x, seed, w }) => ({
    target: ops.dropPath,
    given: [x, { seed, rate: 0.1, stream: 1, residual: w }],
  }),
  "ops.l2Normalize": ({ x }) => ({ target: ops.l2Normalize, given: [x, 1e-12] }),
  "ops.layerNorm": ({ x, v, w }) => ({ target: ops.layerNorm, given: [x, v, v, { eps: 1e-6, residual: w }] }),
  "ops.rmsNorm": ({ x, v }) => ({ target: ops.rmsNorm, given: [x, v, { eps: 1e-6 }] }),
  "ops.concat": ({ x, w }) => ({ target: ops.concat, given: [[x, w]] }),
  "ops.slice": ({ x }) => ({ target: ops.slice, given: [x, 1, 3] }),
  "ops.pad": ({ x }) => ({ target: ops.pad, given: [x, 1, 6] }),
  "ops.gatherRows": ({ x, ids }) => ({ target: ops.gatherRows, given: [x, ids] }),
  "ops.meanTokens": ({ x }) => ({ target: ops.meanTokens, given: [eva.reshape(x, [2, 2, 8]), 0] }),
  "ops.linear": ({ x, w }) => ({
    target: ops.linear,
    given: [x, [w, w], [null, null], { activation: "gelu" }],
  }),
  "ops.matmul": ({ x, w }) => ({ target: ops.matmul, given: [x, w, { transposeB: true }] }),
  "ops.globalNorm": ({ x, w }) => ({ target: ops.globalNorm, given: [[x, w]] }),
  "ops.patchRows": ({ images }) => ({
    target: ops.patchRows,
    given: [images, { patchSize: 4, dtype: "f32", padding: 16 }],
  }),
  "ops.patchProjection": ({ x, w }) => ({ target: ops.patchProjection, given: [x, w, null] }),
  "ops.addPositions": ({ x, v, w }) => ({
    target: ops.addPositions,
    given: [eva.reshape(x, [2, 2, 8]), v, w],
  }),
  "ops.sumLeading": ({ x }) => ({ target: ops.sumLeading, given: [x, 1] }),
  "ops.expand": ({ v, x }) => ({ target: ops.expand, given: [v, x] }),
  "ops.expandLast": ({ ids, x }) => ({ target: ops.expandLast, given: [ids, x] }),
  "ops.swiglu": ({ x }) => ({ target: ops.swiglu, given: [x] }),
  "ops.lambUpdate": ({ x, one, ids }) => ({
    target: ops.lambUpdate,
    given: [updateInputs(x, one, ids), { ...updateSettings(), adapt: [1], variant: "apex" }],
  }),
  "ops.adamwUpdate": ({ x, one, ids }) => ({
    target: ops.adamwUpdate,
    given: [updateInputs(x, one, ids), updateSettings()],
  }),
  "ops.castUpdate": ({ x, w }) => ({ target: ops.castUpdate, given: [[x], [w]] }),
  "ops.clampUpdate": ({ x }) => ({ target: ops.clampUpdate, given: [[x], 0, 1] }),
  "ops.emaUpdate": ({ x, w, one }) => ({
    target: ops.emaUpdate,
    given: [{ averages: [x], parameters: [w], norm: one }, 0.99],
  }),
  "ops.randomFill": ({ x }) => ({
    target: ops.randomFill,
    given: [[x], { means: [0], deviations: [1], cut: 2, seed: 1, first: 0 }],
  }),
};

function updateInputs(x: eva.Tensor, one: eva.Tensor, step: eva.Tensor) {
  const list = [x];
  return {
    parameters: list,
    gradients: list,
    firstMoments: list,
    secondMoments: list,
    norm: one,
    learningRates: eva.reshape(one, [1]),
    step,
  };
}

function updateSettings() {
  return { weightDecays: [0], beta1: 0.9, beta2: 0.98, eps: 1e-6, clipNorm: 0 };
}
