// The cases of benchmarks/gpu_ops.ts: the dominant ops at the sizes of real models, named as in the peers' programs.
import { modelConfig } from "eva-clip";
import { grad, ops, type Tensor } from "eva-clip/graph";
import { ClipModel, clipLoss } from "eva-clip/train";
import { storedColumns } from "../lib/nn/padding";
import { constant, type Operand } from "../lib/tensor";
import { captionLengths } from "./captions";

export interface Case {
  part: string;
  name: string;
  facts?: Record<string, string | number>;
  /** Normally distributed inputs, by name. */
  data: Record<string, { shape: readonly number[]; type?: "f32" | "bf16"; deviation?: number }>;
  /** Records a value that depends on the forward op and its gradients. */
  body(x: Record<string, Operand>): Tensor[];
  /** The measured ops. */
  forward: readonly string[];
  backward: readonly string[];
  /** Useful FLOP, or the minimum of bytes moved, of the forward and of the backward pass. */
  flops?: readonly [number, number];
  bytes?: readonly [number, number];
}

/** A loss whose gradient is not constant, so that no work is eliminated. */
const lossOf = (y: Tensor) => ops.sum(ops.cast(ops.multiply(y, y), "f32"));
const withGradients = (y: Tensor, of: readonly Operand[]) => [lossOf(y), ...grad(lossOf(y), of)];

interface AttentionShape {
  shape: string;
  tokens: number;
  heads: number;
  headDim: number;
  batch: number;
}

/** Self-attention of images, with and without RoPE, or of captions padded to one length. */
function attentionCase({ shape, tokens, heads, headDim, batch }: AttentionShape, rotary: boolean): Case {
  const causal = shape === "text";
  const pairs = causal ? (tokens * (tokens + 1)) / 2 : tokens * tokens;
  const flops = 4 * batch * heads * pairs * headDim;
  const grid = Math.ceil(Math.sqrt(tokens - 1));
  return {
    part: "attn",
    name: rotary ? "attention with RoPE" : "attention",
    facts: { shape, B: batch },
    data: {
      qkv: { shape: [batch, tokens, 3 * heads * headDim], type: "bf16" },
      ...(rotary && { rope: { shape: [grid, headDim / 4, 2] } }),
    },
    body({ qkv, rope }) {
      const kept = rotary ? keptPositions(batch, tokens - 1) : undefined;
      return withGradients(ops.attention(qkv!, { heads, causal, rope, kept }), [qkv!]);
    },
    forward: ["attention"],
    backward: ["attention_backward"],
    flops: [flops, 2.5 * flops],
  };
}

/** Positions 0 … count - 1 for every image. */
function keptPositions(batch: number, count: number): Tensor {
  const values = Int32Array.from({ length: batch * count }, (_, i) => i % count);
  return constant(values, [batch, count]);
}

/** Captions without padding, causal. */
function packedCase(lengths: readonly number[], heads: number): Case {
  const headDim = 64;
  const ends = Int32Array.from({ length: lengths.length + 1 }, (_, b) =>
    lengths.slice(0, b).reduce((sum, length) => sum + length, 0),
  );
  const pairs = lengths.reduce((sum, length) => sum + (length * (length + 1)) / 2, 0);
  const flops = 4 * pairs * heads * headDim;
  return {
    part: "attn",
    name: "attention",
    facts: { shape: "packed", B: lengths.length },
    data: { qkv: { shape: [ends[lengths.length]!, 3 * heads * headDim], type: "bf16" } },
    body({ qkv }) {
      const cuSeqlens = constant(ends, [ends.length]);
      return withGradients(ops.attention(qkv!, { heads, causal: true, cuSeqlens }), [qkv!]);
    },
    forward: ["attention"],
    backward: ["attention_backward"],
    flops: [flops, 2.5 * flops],
  };
}

function layerNormCase(rows: number, width: number): Case {
  return {
    part: "layers",
    name: `LayerNorm ${width}`,
    data: { x: { shape: [rows, width], type: "bf16" }, weight: { shape: [width] }, bias: { shape: [width] } },
    body: ({ x, weight, bias }) => withGradients(ops.layerNorm(x!, weight!, bias!), [x!, weight!, bias!]),
    forward: ["layer_norm"],
    backward: ["layer_norm_backward"],
    bytes: [4 * rows * width, 6 * rows * width],
  };
}

function swigluCase(rows: number, hidden: number): Case {
  return {
    part: "layers",
    name: `SwiGLU + sub-LN ${hidden}`,
    data: {
      x: { shape: [rows, 2 * hidden], type: "bf16" },
      weight: { shape: [hidden] },
      bias: { shape: [hidden] },
    },
    body({ x, weight, bias }) {
      return withGradients(ops.swiglu(x!, { weight: weight!, bias: bias! }), [x!, weight!, bias!]);
    },
    forward: ["swiglu"],
    backward: ["swiglu_backward"],
    bytes: [6 * rows * hidden, 10 * rows * hidden],
  };
}

interface PatchShape {
  name: string;
  side: number;
  patchSize: number;
  width: number;
}

/** From normalized pixels to tokens: patch dropout, reading the kept patches, projection, class token and positions. */
function patchCase(batch: number, { name, side, patchSize, width }: PatchShape, drop: number): Case {
  const patches = (side / patchSize) ** 2;
  const tokens = Math.round(patches * (1 - drop));
  const columns = 3 * patchSize ** 2;
  const stored = storedColumns(columns);
  const moved = 2 * batch * (tokens * columns + (tokens + 1) * width);
  return {
    part: "layers",
    name: `${name}, drop ${drop.toFixed(1)}`,
    facts: { B: batch },
    data: {
      images: { shape: [batch, 3, side, side] },
      weight: { shape: [width, stored], deviation: columns ** -0.5 },
      bias: { shape: [width] },
      classToken: { shape: [width] },
      positions: { shape: [1 + patches, width] },
    },
    body({ images, weight, bias, classToken, positions }) {
      const seed = constant(Int32Array.of(1, 1), [2]);
      const kept = drop > 0 ? ops.keepTokens(seed, batch, patches, tokens) : undefined;
      const rows = ops.patchRows(images!, { patchSize, kept, dtype: "bf16", padding: stored - columns });
      const y = ops.addPositions(ops.linear(rows, [weight!], [bias!]), classToken!, positions!, kept);
      return withGradients(y, [weight!, bias!, classToken!, positions!]);
    },
    forward: ["keep_tokens", "patch_rows", "linear", "add_positions"],
    backward: ["linear_weight_gradient", "add_positions_backward"],
    bytes: [moved, moved],
  };
}

function lossCase(batch: number, width: number, dtype: "f32" | "bf16"): Case {
  const features = { shape: [batch, width], type: dtype, deviation: width ** -0.5 };
  return {
    part: "loss",
    name: "contrastive loss",
    facts: { B: batch, dtype },
    data: { image: features, text: features, scale: { shape: [] } },
    body({ image, text, scale }) {
      const { loss } = clipLoss(image!, text!, scale!);
      return [loss, ...grad(loss, [image!, text!, scale!])];
    },
    forward: ["clip_loss"],
    backward: ["clip_loss_backward"],
    flops: [2 * batch * batch * width, 6 * batch * batch * width],
  };
}

/** The update of a model's parameters; `sizes` are their element counts. */
function lambCase(model: string, sizes: readonly number[]): Case {
  const kinds = ["w", "g", "m", "v"];
  const data = Object.fromEntries(
    kinds.flatMap((kind) => sizes.map((size, i) => [`${kind}${i}`, { shape: [size] }])),
  );
  return {
    part: "optim",
    name: "LAMB",
    facts: { model },
    data,
    body(x) {
      const list = (kind: string) => sizes.map((_, i) => x[`${kind}${i}`]!);
      const same = (value: number) => sizes.map(() => value);
      const gradients = list("g");
      const ratios = ops.lambUpdate(
        {
          parameters: list("w"),
          gradients,
          firstMoments: list("m"),
          secondMoments: list("v"),
          norm: ops.globalNorm(gradients),
          learningRates: constant(Float32Array.from(same(1e-3)), [sizes.length]),
          step: constant(Int32Array.of(1)),
        },
        {
          ...{ weightDecays: same(0.05), adapt: same(1) },
          ...{ beta1: 0.9, beta2: 0.98, eps: 1e-6, clipNorm: 1, variant: "apex" },
        },
      );
      return [ops.sum(ratios)];
    },
    forward: ["global_norm", "lamb_update"],
    backward: [],
    bytes: [28 * sizes.reduce((sum, size) => sum + size, 0), 0],
  };
}

const sizesOf = (model: string) => new ClipModel(modelConfig(model)).parameters().map(({ size }) => size);

const imageShapes: readonly AttentionShape[] = [
  { shape: "B16 drop", tokens: 99, heads: 12, headDim: 64, batch: 1024 },
  { shape: "L14 drop", tokens: 129, heads: 16, headDim: 64, batch: 768 },
  { shape: "B16", tokens: 197, heads: 12, headDim: 64, batch: 512 },
  { shape: "L14", tokens: 257, heads: 16, headDim: 64, batch: 384 },
  { shape: "L14@336", tokens: 577, heads: 16, headDim: 64, batch: 160 },
  { shape: "g14", tokens: 257, heads: 16, headDim: 88, batch: 384 },
  { shape: "E14", tokens: 257, heads: 16, headDim: 112, batch: 384 },
];
const B16: PatchShape = { name: "patch embed + pos", side: 224, patchSize: 16, width: 768 };
const L14: PatchShape = { name: "patch embed + pos L14", side: 224, patchSize: 14, width: 1024 };
const tinyPatches: PatchShape = { name: B16.name, side: 32, patchSize: 8, width: 64 };
const dtypes = ["bf16", "f32"] as const;

export const gpuCases: readonly Case[] = [
  ...imageShapes.filter(({ headDim }) => headDim === 64).map((shape) => attentionCase(shape, true)),
  ...imageShapes.map((shape) => attentionCase(shape, false)),
  attentionCase({ shape: "text", tokens: 77, heads: 8, headDim: 64, batch: 1024 }, false),
  packedCase(captionLengths(2048), 8),
  layerNormCase(99 * 1024, 768),
  swigluCase(99 * 1024, 2048),
  swigluCase(129 * 512, 2730),
  patchCase(1024, B16, 0.5),
  patchCase(1024, B16, 0),
  patchCase(384, L14, 0),
  ...[4096, 32768].flatMap((batch) => dtypes.map((dtype) => lossCase(batch, 512, dtype))),
  lambCase("B16", sizesOf("EVA02-CLIP-B-16")),
  lambCase("L14", sizesOf("EVA02-CLIP-L-14")),
];

const tiny: AttentionShape = { shape: "B16 drop", tokens: 9, heads: 2, headDim: 64, batch: 2 };

/** One small case of every kind, to test this program. */
export const smokeCases: readonly Case[] = [
  attentionCase(tiny, true),
  attentionCase(tiny, false),
  attentionCase({ ...tiny, shape: "text" }, false),
  packedCase(captionLengths(16), 2),
  layerNormCase(64, 768),
  swigluCase(64, 2048),
  patchCase(4, tinyPatches, 0.5),
  patchCase(4, tinyPatches, 0),
  patchCase(2, { ...L14, side: 28, width: 64 }, 0),
  ...dtypes.map((dtype) => lossCase(32, 64, dtype)),
  lambCase("B16", [1000, 24]),
];
