// Compares CUDA with the CPU on models in the format of test/fixtures, in f32 and in bf16: features, loss and gradients. Each
// program runs three times on CUDA: kernel by kernel, while it is captured, and replayed; the bits must not change.
//   node device_agreement.js [--precision f32,bf16] [--draws N] FILE…
import { parseArgs } from "node:util";
import { Device } from "eva-clip";
import { compile, grad, type HostTensor } from "eva-clip/graph";
import { CounterRandom } from "../../lib/random";
import { type Fixture, readFixture } from "./fixture";
import { relativeError } from "./relative_error";
import { inputsOf, loadModel, trainingPass } from "./run_fixture";

/** Tolerance in f32: the relative L2 error of each group; features and loss one by one, all gradients as one vector. */
const TOLERANCE = 1e-4;
/**
 * In bf16, two equally accurate backends differ from each other as much as either differs from f32: one flipped rounding
 * changes all later ones. So the test compares distances from the CPU's f32: CUDA's must be at most this many times that of the
 * CPU's bf16. The ratio varies between batches (its logarithm has a standard deviation of 0.1 to 0.25), so the mean logarithm
 * over several draws counts, minus two standard errors.
 */
const LARGEST_RATIO = 1.1;
const RUNS = 3;

type Precision = "f32" | "bf16";
type Results = Record<string, HostTensor>;

async function compute(device: Device, fixture: Fixture, type: Precision, runs: number): Promise<Results[]> {
  const model = await loadModel(device, fixture, type);
  const { data, specs } = inputsOf(fixture);
  const parameters = model.parameters();
  const program = await compile(device, specs, (x) => {
    const { image, text, loss } = trainingPass(model, x);
    const gradients = grad(loss, parameters).map((found, i) => [`gradient ${parameters[i]!.name}`, found]);
    return { image, text, loss, ...Object.fromEntries(gradients) };
  });
  const results: Results[] = [];
  for (let run = 0; run < runs; run++) results.push(await program(data));
  program.dispose();
  for (const parameter of parameters) parameter.dispose();
  return results;
}

/** The tensors whose names begin with `prefix`, as one vector. */
function numbersOf(results: Results, prefix: string): number[] {
  const names = Object.keys(results).filter((name) => name.startsWith(prefix));
  return names.flatMap((name) => Array.from(results[name]!.toFloat32()));
}

function haveEqualBits(a: Results, b: Results): boolean {
  return Object.keys(a).every((name) => {
    const [x, y] = [a[name]!.data, b[name]!.data];
    return Buffer.from(x.buffer, x.byteOffset, x.byteLength).equals(
      Buffer.from(y.buffer, y.byteOffset, y.byteLength),
    );
  });
}

function haveEqualRuns(runs: readonly Results[]): boolean {
  return runs.every((run) => haveEqualBits(run, runs[0]!));
}

const print = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** The failures of one model in f32; prints the errors. */
async function disagreements(cpu: Device, cuda: Device, fixture: Fixture): Promise<string[]> {
  const [expected] = await compute(cpu, fixture, "f32", 1);
  const runs = await compute(cuda, fixture, "f32", RUNS);
  const errors = Object.fromEntries(
    ["image", "text", "loss", "gradient"].map((group) => [
      group,
      relativeError(numbersOf(runs[0]!, group), numbersOf(expected!, group)),
    ]),
  );
  const repeats = haveEqualRuns(runs);
  print({ file: fixture.path, type: "f32", ...errors, repeats });
  const off = Object.entries(errors).filter(([, error]) => !(error <= TOLERANCE));
  const wrong = off.map(([group, error]) => `${group} is ${error} off`);
  return repeats ? wrong : [...wrong, "a replayed run has other bits"];
}

/** The fixture's model and batch; for `draw` above 0 with weights perturbed by 5 %, and noise as images. */
function drawFrom(fixture: Fixture, draw: number): Fixture {
  if (draw === 0) return fixture;
  const random = new CounterRandom(draw);
  const noise = (deviation: number) => random.uniform(-Math.sqrt(3), Math.sqrt(3)) * deviation;
  const tensors = new Map(fixture.tensors);
  for (const [name, { shape, data }] of tensors) {
    if (name === "in/images") tensors.set(name, { shape, data: Float32Array.from(data, () => noise(1)) });
    if (name.startsWith("weights/"))
      tensors.set(name, { shape, data: Float32Array.from(data, (x) => x * (1 + noise(0.05))) });
  }
  return { ...fixture, tensors };
}

/** Relative L2 distances of a group of results, one per draw. */
interface Distances {
  cudaFromF32: number[];
  cpuFromF32: number[];
  cudaFromCpu: number[];
}

const mean = (x: readonly number[]) => x.reduce((sum, value) => sum + value, 0) / x.length;

/** Geometric mean distances, and their ratio with its standard error (of the logarithm). */
function summary({ cudaFromF32, cpuFromF32, cudaFromCpu }: Distances) {
  const typical = (x: readonly number[]) => Math.exp(mean(x.map(Math.log)));
  const logarithms = cudaFromF32.map((distance, draw) => Math.log(distance / cpuFromF32[draw]!));
  const center = mean(logarithms);
  const squares = logarithms.reduce((sum, value) => sum + (value - center) ** 2, 0);
  const ratioError = Math.sqrt(squares / Math.max(1, logarithms.length - 1) / logarithms.length);
  return {
    cudaFromF32: typical(cudaFromF32),
    cpuFromF32: typical(cpuFromF32),
    cudaFromCpu: typical(cudaFromCpu),
    ratio: Math.exp(center),
    ratioError,
  };
}

/** The failures of one model in bf16 over `draws` draws; prints the distances. */
async function excesses(cpu: Device, cuda: Device, fixture: Fixture, draws: number): Promise<string[]> {
  const groups = new Map<string, Distances>(
    ["image", "text", "gradient"].map((group) => [
      group,
      { cudaFromF32: [], cpuFromF32: [], cudaFromCpu: [] },
    ]),
  );
  let repeats = true;
  for (let draw = 0; draw < draws; draw++) {
    const drawn = drawFrom(fixture, draw);
    const [exact] = await compute(cpu, drawn, "f32", 1);
    const [onCpu] = await compute(cpu, drawn, "bf16", 1);
    const runs = await compute(cuda, drawn, "bf16", draw === 0 ? RUNS : 1);
    repeats &&= haveEqualRuns(runs);
    for (const [group, distances] of groups) {
      const [f32, bf16, found] = [exact!, onCpu!, runs[0]!].map((results) => numbersOf(results, group));
      distances.cudaFromF32.push(relativeError(found!, f32!));
      distances.cpuFromF32.push(relativeError(bf16!, f32!));
      distances.cudaFromCpu.push(relativeError(found!, bf16!));
    }
  }
  const summaries = [...groups].map(([group, distances]) => [group, summary(distances)] as const);
  print({ file: fixture.path, type: "bf16", draws, ...Object.fromEntries(summaries), repeats });
  const wrong = summaries
    .filter(([, { ratio, ratioError }]) => !(ratio <= LARGEST_RATIO * Math.exp(2 * ratioError)))
    .map(([group, { ratio }]) => `${group} is ${ratio} times as far from f32 as on the CPU`);
  return repeats ? wrong : [...wrong, "a replayed run has other bits"];
}

async function main(): Promise<void> {
  const { values, positionals: paths } = parseArgs({
    allowPositionals: true,
    options: { precision: { type: "string", default: "f32,bf16" }, draws: { type: "string", default: "16" } },
  });
  const draws = Number(values.draws);
  await using cpu = await Device.open("cpu");
  await using cuda = await Device.open("cuda");
  for (const path of paths) {
    const fixture = await readFixture(path);
    for (const type of values.precision.split(",") as Precision[]) {
      const wrong =
        type === "f32" ? await disagreements(cpu, cuda, fixture) : await excesses(cpu, cuda, fixture, draws);
      for (const line of wrong) process.stdout.write(`FAILED ${path} ${type}: ${line}\n`);
      if (wrong.length > 0) process.exitCode = 1;
    }
  }
}

void main();
