// The ops that matter, one by one on a GPU: CUDA events around each kernel, medians, random data, and an L2 that holds none
// of it. TFLOP/s count useful work, GB/s the bytes that must move.
//   npm run bench -- gpu_ops [--part attn,loss,…] [--iterations 50] [--device cuda] [--smoke] [--json]
import { parseArgs } from "node:util";
import {
  clipLoss,
  compile,
  Device,
  grad,
  type KernelTiming,
  ops,
  Parameter,
  spec,
  type Tensor,
} from "../lib";
import { constant, type Operand } from "../lib/tensor";
import { median } from "./comparison";

const options = parseArgs({
  options: {
    part: { type: "string", default: "attn,layers,loss,optim" },
    iterations: { type: "string", default: "50" },
    device: { type: "string", default: "cuda" },
    /** Tiny shapes, to test the path. */
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
}).values;
const iterations = options.smoke ? 2 : Number(options.iterations);
const WARM_UPS = options.smoke ? 1 : 10;
/** Written before each run: five times the L2 of an H100. */
const FLUSH_ELEMENTS = options.smoke ? 1024 : 64 << 20;

interface Case {
  part: string;
  name: string;
  facts?: Record<string, string | number>;
  /** Random bf16 or f32 values that the case reads, by name. */
  data: Record<string, { shape: readonly number[]; type?: "f32" | "bf16" }>;
  /** Anything that depends on the forward op and on its gradients. */
  body(x: Record<string, Operand>): Tensor[];
  forward: readonly string[];
  backward: readonly string[];
  /** Useful operations, or bytes that must move, of the forward and of the backward pass. */
  flops?: readonly [number, number];
  bytes?: readonly [number, number];
}

/** A loss whose gradient is not constant, so that nothing is left out. */
const lossOf = (y: Tensor) => ops.sum(ops.cast(ops.multiply(y, y), "f32"));

function attentionCase(name: string, tokens: number, heads: number, headDim: number, batch: number): Case {
  const [n, b] = options.smoke ? [9, 2] : [tokens, batch];
  const flops = 4 * b * heads * n * n * headDim;
  const grid = Math.ceil(Math.sqrt(n - 1));
  return {
    part: "attn",
    name: "attention with RoPE",
    facts: { shape: name, B: b },
    data: {
      qkv: { shape: [b, n, 3 * heads * headDim], type: "bf16" },
      rope: { shape: [grid, headDim / 4, 2] },
    },
    body({ qkv, rope }) {
      const kept = keptPositions(b, n - 1);
      const out = ops.attention(qkv!, { heads, rope: rope!, kept });
      return [lossOf(out), ...grad(lossOf(out), [qkv!])];
    },
    forward: ["attention"],
    backward: ["attention_backward"],
    flops: [flops, 2.5 * flops],
  };
}

/** Positions 0 … count - 1 for every image, as a constant. */
function keptPositions(batch: number, count: number): Tensor {
  const values = Int32Array.from({ length: batch * count }, (_, i) => i % count);
  return constant(values, [batch, count]);
}

function layerCases(rows: number, width: number, hidden: number): Case[] {
  const m = options.smoke ? 64 : rows;
  return [
    {
      part: "layers",
      name: "layer_norm",
      facts: { shape: `${m} x ${width}` },
      data: { x: { shape: [m, width], type: "bf16" }, weight: { shape: [width] }, bias: { shape: [width] } },
      body({ x, weight, bias }) {
        const y = ops.layerNorm(x!, weight!, bias!);
        return [lossOf(y), ...grad(lossOf(y), [x!, weight!, bias!])];
      },
      forward: ["layer_norm"],
      backward: ["layer_norm_backward"],
      bytes: [4 * m * width, 6 * m * width],
    },
    {
      part: "layers",
      name: "swiglu + sub-LN",
      facts: { shape: `${m} x ${hidden}` },
      data: {
        x: { shape: [m, 2 * hidden], type: "bf16" },
        weight: { shape: [hidden] },
        bias: { shape: [hidden] },
      },
      body({ x, weight, bias }) {
        const y = ops.swiglu(x!, { weight: weight!, bias: bias! });
        return [lossOf(y), ...grad(lossOf(y), [x!, weight!, bias!])];
      },
      forward: ["swiglu"],
      backward: ["swiglu_backward"],
      bytes: [6 * m * hidden, 10 * m * hidden],
    },
  ];
}

function lossCase(batch: number, width: number): Case {
  const b = options.smoke ? 32 : batch;
  return {
    part: "loss",
    name: "contrastive loss",
    facts: { B: b, dtype: "bf16" },
    data: {
      image: { shape: [b, width], type: "bf16" },
      text: { shape: [b, width], type: "bf16" },
      scale: { shape: [] },
    },
    body({ image, text, scale }) {
      const { loss } = clipLoss(ops.l2Normalize(image!), ops.l2Normalize(text!), scale!);
      return [loss, ...grad(loss, [image!, text!])];
    },
    forward: ["clip_loss"],
    backward: ["clip_loss_backward"],
    flops: [2 * b * b * width, 6 * b * b * width],
  };
}

function lambCase(model: string, parameters: number): Case {
  const tensors = options.smoke ? 2 : 150;
  const each = options.smoke ? 1000 : Math.round(parameters / tensors);
  const names = ["w", "g", "m", "v"];
  const data = Object.fromEntries(
    names.flatMap((kind) => Array.from({ length: tensors }, (_, i) => [`${kind}${i}`, { shape: [each] }])),
  );
  return {
    part: "optim",
    name: "LAMB",
    facts: { model },
    data,
    body(x) {
      const list = (kind: string) => Array.from({ length: tensors }, (_, i) => x[`${kind}${i}`]!);
      const same = (value: number) => Array.from({ length: tensors }, () => value);
      const gradients = list("g");
      const ratios = ops.lambUpdate(
        {
          parameters: list("w"),
          gradients,
          firstMoments: list("m"),
          secondMoments: list("v"),
          norm: ops.globalNorm(gradients),
          schedule: constant(1),
          step: constant(Int32Array.of(1)),
        },
        {
          ...{ learningRates: same(1e-3), weightDecays: same(0.05), adapt: same(1) },
          ...{ beta1: 0.9, beta2: 0.98, eps: 1e-6, clipNorm: 1, variant: "apex" },
        },
      );
      return [ops.sum(ratios)];
    },
    forward: ["global_norm", "lamb_update"],
    backward: [],
    bytes: [28 * each * tensors, 0],
  };
}

const cases: Case[] = [
  attentionCase("B16 drop", 99, 12, 64, 1024),
  attentionCase("L14 drop", 129, 16, 64, 768),
  attentionCase("B16", 197, 12, 64, 512),
  attentionCase("L14", 257, 16, 64, 384),
  attentionCase("L14@336", 577, 16, 64, 160),
  attentionCase("g14", 257, 16, 88, 384),
  attentionCase("E14", 257, 16, 112, 384),
  ...layerCases(99 * 1024, 768, 2048),
  ...layerCases(129 * 512, 1024, 2730),
  lossCase(4096, 512),
  lossCase(32768, 512),
  lambCase("B16", 149_690_000),
  lambCase("L14", 427_760_000),
];

/** Normally distributed values. */
async function fill(device: Device, parameters: readonly Parameter[]): Promise<void> {
  const [means, deviations] = [parameters.map(() => 0), parameters.map(() => 1)];
  const program = await compile(device, {}, () => {
    ops.randomFill(parameters, { means, deviations, seed: 1 });
    return {};
  });
  await program({});
  program.dispose();
}

async function prepare(device: Device, { data }: Case): Promise<Record<string, Parameter>> {
  const all = Object.entries(data).map(([name, { shape }]) => [name, new Parameter(name, shape)] as const);
  for (const [, parameter] of all) parameter.allocate(device);
  const parameters = all.map(([, parameter]) => parameter);
  await fill(device, parameters);
  return Object.fromEntries(all);
}

const millisecondsOf = (timings: readonly KernelTiming[], names: readonly string[]) =>
  1e3 * timings.filter(({ op }) => names.includes(op)).reduce((sum, { seconds }) => sum + seconds, 0);

async function measure(device: Device, chosen: Case, flush: Parameter): Promise<void> {
  const parameters = await prepare(device, chosen);
  const program = await compile(device, { factor: spec("f32", []) }, ({ factor }) => {
    const cold = ops.sum(ops.multiply(flush, factor));
    const typed = Object.fromEntries(
      Object.entries(chosen.data).map(([name, { type = "f32" }]) => [
        name,
        type === "bf16" ? ops.cast(parameters[name]!, "bf16") : parameters[name]!,
      ]),
    );
    const used = chosen.body(typed);
    return { cold, ...Object.fromEntries(used.map((tensor, i) => [`used${i}`, sumOf(tensor)])) };
  });
  const [forward, backward]: [number[], number[]] = [[], []];
  for (let i = 0; i < WARM_UPS + iterations; i++) {
    await program.startProfile();
    await program({ factor: Float32Array.of(1) });
    if (i < WARM_UPS) continue;
    const timings = await program.profile();
    forward.push(millisecondsOf(timings, chosen.forward));
    backward.push(millisecondsOf(timings, chosen.backward));
  }
  program.dispose();
  for (const parameter of Object.values(parameters)) parameter.dispose();
  report(chosen, median(forward), chosen.backward.length > 0 ? median(backward) : undefined);
}

const sumOf = (tensor: Tensor) => ops.sum(tensor.dtype === "bf16" ? ops.cast(tensor, "f32") : tensor);

function report({ part, name, facts, flops, bytes }: Case, ms: number, backward: number | undefined): void {
  const rate = (amount: readonly [number, number] | undefined, unit: number) => ({
    forward: amount && amount[0] / ms / 1e-3 / unit,
    backward: amount && backward ? amount[1] / backward / 1e-3 / unit : undefined,
  });
  const [tera, giga] = [rate(flops, 1e12), rate(bytes, 1e9)];
  const row = {
    ...{ who: "ours", part, name, ...facts, ms, ms_bwd: backward },
    ...{ tflops: tera.forward, tflops_bwd: tera.backward, gbps: giga.forward, gbps_bwd: giga.backward },
  };
  if (options.json) console.log(JSON.stringify(row));
  else
    console.log(
      Object.values(row)
        .filter((value) => value !== undefined)
        .join("  "),
    );
}

async function main(): Promise<void> {
  await using device = await Device.open(options.device as "cpu" | "cuda");
  const flush = new Parameter("flush", [FLUSH_ELEMENTS]);
  flush.allocate(device);
  await fill(device, [flush]);
  const parts = options.part.split(",");
  for (const chosen of cases.filter(({ part }) => parts.includes(part))) {
    try {
      await measure(device, chosen, flush);
    } catch (error) {
      const { part, name, facts } = chosen;
      console.log(JSON.stringify({ who: "ours", part, name, ...facts, error: (error as Error).message }));
    }
  }
}

void main();
