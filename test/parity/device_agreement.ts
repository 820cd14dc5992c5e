// Compares CUDA with the CPU on models in the format of test/fixtures, in f32 and in bf16: features, loss and gradients. Each
// program runs three times on CUDA: kernel by kernel, while it is captured, and replayed; the bits must not change.
//   node device_agreement.js [--precision f32,bf16] FILE…
import { parseArgs } from "node:util";
import { compile, Device, grad, type HostTensor } from "../../lib";
import { type Fixture, readFixture } from "./fixture";
import { relativeError } from "./relative_error";
import { inputsOf, loadModel, trainingPass } from "./run_fixture";

/** The largest relative L2 error of each group: features and loss one by one, all gradients as one vector. */
const TOLERANCES = { f32: 1e-4, bf16: 1e-2 } as const;
type Precision = keyof typeof TOLERANCES;
const RUNS = 3;

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

/** Of the tensors whose names begin with `prefix`, as one vector. */
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

/** What is wrong with one model in one precision; prints the errors. */
async function disagreements(cpu: Device, cuda: Device, path: string, type: Precision): Promise<string[]> {
  const fixture = await readFixture(path);
  const [expected] = await compute(cpu, fixture, type, 1);
  const runs = await compute(cuda, fixture, type, RUNS);
  const errors = Object.fromEntries(
    ["image", "text", "loss", "gradient"].map((group) => [
      group,
      relativeError(numbersOf(runs[0]!, group), numbersOf(expected!, group)),
    ]),
  );
  const repeats = runs.every((run) => haveEqualBits(run, runs[0]!));
  process.stdout.write(`${JSON.stringify({ file: path, type, ...errors, repeats })}\n`);
  const off = Object.entries(errors).filter(([, error]) => !(error <= TOLERANCES[type]));
  const wrong = off.map(([group, error]) => `FAILED ${path} ${type}: ${group} is ${error} off`);
  return repeats ? wrong : [...wrong, `FAILED ${path} ${type}: a replayed run has other bits`];
}

async function main(): Promise<void> {
  const { values, positionals: paths } = parseArgs({
    allowPositionals: true,
    options: { precision: { type: "string", default: "f32,bf16" } },
  });
  await using cpu = await Device.open("cpu");
  await using cuda = await Device.open("cuda");
  for (const path of paths) {
    for (const type of values.precision.split(",") as Precision[]) {
      for (const line of await disagreements(cpu, cuda, path, type)) {
        process.stdout.write(`${line}\n`);
        process.exitCode = 1;
      }
    }
  }
}

void main();
