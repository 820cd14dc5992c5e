// Gives a model of test/fixtures indices out of range, on the CPU and on CUDA with its program captured and replayed: both
// reject with the same code, op and input, and the next run has the bits of the first.
//   node index_errors.js FILE
import { Device, EvaClipError } from "eva-clip";
import { compile, type HostTensor } from "eva-clip/graph";
import { type Fixture, readFixture } from "./fixture";
import { inputsOf, loadModel, trainingPass } from "./run_fixture";

type Data = ReturnType<typeof inputsOf>["data"];

/** The inputs with one invalid element, by a name for the error. */
function mistakes(data: Data): [string, Data][] {
  const changed = (name: "kept" | "tokens" | "cuSeqlens" | "textEnds", at: number, value: number) => {
    const copy = Int32Array.from(data[name]);
    copy[at] = value;
    return [`${name}[${at}] = ${value}`, { ...data, [name]: copy }] as [string, Data];
  };
  return [
    changed("kept", 3, 1 << 20),
    changed("tokens", 2, -7),
    changed("cuSeqlens", 1, 1 << 30),
    changed("textEnds", 1, -1),
  ];
}

/** Per run of a program, the error's code, op and input, or nothing; and whether valid runs agree. */
async function outcomes(device: Device, fixture: Fixture) {
  const model = await loadModel(device, fixture);
  const { data, specs } = inputsOf(fixture);
  const program = await compile(device, specs, (x) => ({ loss: trainingPass(model, x).loss }));
  const bitsOf = ({ loss }: { loss: HostTensor }) => loss.data[0];
  const first = bitsOf(await program(data));
  const found: string[] = [];
  for (const [mistake, bad] of mistakes(data)) {
    const outcome = await program(bad).then(
      () => "no error",
      (error: unknown) => {
        if (!(error instanceof EvaClipError)) throw error;
        return `${error.code} ${error.details?.op} ${error.details?.field}`;
      },
    );
    found.push(`${mistake}: ${outcome}`);
    if (bitsOf(await program(data)) !== first) found.push(`other bits after ${mistake}`);
  }
  program.dispose();
  model.dispose();
  return found;
}

async function main(path: string): Promise<void> {
  const fixture = await readFixture(path);
  await using cpu = await Device.open("cpu");
  await using cuda = await Device.open("cuda");
  const result = { cpu: await outcomes(cpu, fixture), cuda: await outcomes(cuda, fixture) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

void main(process.argv[2]!);
