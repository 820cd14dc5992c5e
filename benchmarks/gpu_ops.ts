// The dominant ops on a GPU, one by one: CUDA events around each kernel, medians, random data, cold L2. TFLOP/s count useful
// work, GB/s the minimum of bytes moved.
//   npm run bench -- gpu_ops [--part attn,loss,…] [--iterations 50] [--device cuda] [--smoke] [--json]
import { parseArgs } from "node:util";
import { Device } from "eva-clip";
import { compile, type KernelTiming, ops, Parameter, spec, type Tensor } from "eva-clip/graph";
import { elementCount } from "../lib/shape";
import type { Operand } from "../lib/tensor";
import { median } from "./comparison";
import { type Case, gpuCases, smokeCases } from "./gpu_op_cases";

const options = parseArgs({
  options: {
    part: { type: "string", default: "attn,layers,loss,optim" },
    iterations: { type: "string", default: "50" },
    device: { type: "string", default: "cuda" },
    /** Tiny shapes, to test this program. */
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
}).values;
const iterations = options.smoke ? 2 : Number(options.iterations);
const WARM_UPS = options.smoke ? 1 : 10;
/** Buffer written before each run to flush the L2: five times that of an H100. */
const FLUSH_ELEMENTS = options.smoke ? 1024 : 64 << 20;

/** Normally distributed values. */
async function fill(
  device: Device,
  parameters: readonly Parameter[],
  deviations: readonly number[],
): Promise<void> {
  const means = parameters.map(() => 0);
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
  await fill(
    device,
    parameters,
    Object.values(data).map(({ deviation = 1 }) => deviation),
  );
  return Object.fromEntries(all);
}

const millisecondsOf = (timings: readonly KernelTiming[], names: readonly string[]) =>
  1e3 * timings.filter(({ op }) => names.includes(op)).reduce((sum, { seconds }) => sum + seconds, 0);

/** The inputs of a case, in their types. */
function typed({ data }: Case, parameters: Readonly<Record<string, Parameter>>): Record<string, Operand> {
  return Object.fromEntries(
    Object.entries(data).map(([name, { type = "f32" }]) => {
      const parameter = parameters[name]!;
      return [name, type === "bf16" ? ops.cast(parameter, "bf16") : parameter];
    }),
  );
}

async function measure(device: Device, chosen: Case, flush: Parameter): Promise<void> {
  const parameters = await prepare(device, chosen);
  const program = await compile(device, { factor: spec("f32", []) }, ({ factor }) => {
    const inputs = typed(chosen, parameters);
    const cold = ops.sum(ops.multiply(flush, factor)); // between the conversions and the measured ops
    const used = chosen.body(inputs);
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
  const peak = chosen.part === "loss" ? await peakBytes(device, chosen, parameters) : undefined;
  for (const parameter of Object.values(parameters)) parameter.dispose();
  report(chosen, {
    ms: median(forward),
    backward: chosen.backward.length > 0 ? median(backward) : undefined,
    peak,
  });
}

/** A case's memory without its inputs: results, intermediates and scratch. */
async function peakBytes(device: Device, chosen: Case, parameters: Readonly<Record<string, Parameter>>) {
  const program = await compile(device, {}, () =>
    Object.fromEntries(chosen.body(typed(chosen, parameters)).map((tensor, i) => [`used${i}`, tensor])),
  );
  const { arenaBytes } = program.stats();
  program.dispose();
  const rounded = Object.values(chosen.data).filter(({ type }) => type === "bf16");
  const inputs = rounded.reduce((sum, { shape }) => sum + 2 * elementCount(shape), 0);
  return arenaBytes - inputs + (await device.memory()).workspaceBytes;
}

const sumOf = (tensor: Tensor) => ops.sum(tensor.dtype === "bf16" ? ops.cast(tensor, "f32") : tensor);

interface Measured {
  ms: number;
  backward: number | undefined;
  peak: number | undefined;
}

function report({ part, name, facts, flops, bytes }: Case, { ms, backward, peak }: Measured): void {
  const rate = (amount: readonly [number, number] | undefined, unit: number) => ({
    forward: amount && amount[0] / ms / 1e-3 / unit,
    backward: amount && backward ? amount[1] / backward / 1e-3 / unit : undefined,
  });
  const [tera, giga] = [rate(flops, 1e12), rate(bytes, 1e9)];
  const row = {
    ...{ who: "eva-clip", part, name, ...facts, ms, ms_bwd: backward },
    ...{ tflops: tera.forward, tflops_bwd: tera.backward, gbps: giga.forward, gbps_bwd: giga.backward },
    peak_gb: peak && peak / 2 ** 30,
  };
  const values = Object.values(row).filter((value) => value !== undefined);
  console.log(options.json ? JSON.stringify(row) : values.join("  "));
}

async function main(): Promise<void> {
  await using device = await Device.open(options.device as "cpu" | "cuda");
  if (options.json) console.log(JSON.stringify({ who: "eva-clip", part: "machine", gpu: device.info.name }));
  const flush = new Parameter("flush", [FLUSH_ELEMENTS]);
  flush.allocate(device);
  await fill(device, [flush], [1]);
  const parts = options.part.split(",");
  const cases = options.smoke ? smokeCases : gpuCases;
  for (const chosen of cases.filter(({ part }) => parts.includes(part))) {
    try {
      await measure(device, chosen, flush);
    } catch (error) {
      const { part, name, facts } = chosen;
      console.log(JSON.stringify({ who: "eva-clip", part, name, ...facts, error: (error as Error).message }));
    }
  }
}

void main();
