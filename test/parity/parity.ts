// Compares models in the format of test/fixtures with the numbers of the published code:
// npm run parity -- FILE…
import { Device } from "../../lib/device";
import { readFixture } from "./fixture";
import { type Parity, runFixture } from "./run_fixture";

/** The largest relative L2 error that single precision is allowed in each group. */
export const TOLERANCES: Readonly<Record<keyof Parity, number>> = {
  eval: 2e-5,
  loss: 1e-5,
  grad: 2e-5,
  lamb: 1e-4,
};

/** The groups that are off, with the error and the tensor it was found in. */
export function failures(parity: Parity): string[] {
  return Object.entries(parity)
    .filter(([group, { error }]) => !(error <= TOLERANCES[group as keyof Parity]))
    .map(([group, { error, name }]) => `${group}: ${error} in ${name}`);
}

function report(path: string, parity: Parity): void {
  const { grad, lamb } = parity;
  const line = {
    file: path,
    eval: parity.eval.error,
    loss: parity.loss.error,
    grad: grad.error,
    ...(lamb && { lamb: lamb.error }),
    worst: { eval: parity.eval.name, grad: grad.name, ...(lamb && { lamb: lamb.name }) },
    ok: failures(parity).length === 0,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(paths: readonly string[]): Promise<number> {
  if (paths.length === 0) {
    process.stderr.write("usage: npm run parity -- FILE…\n");
    return 2;
  }
  await using device = await Device.open("cpu");
  let failed = 0;
  for (const path of paths) {
    try {
      const parity = await runFixture(device, await readFixture(path));
      report(path, parity);
      if (failures(parity).length > 0) failed = 1;
    } catch (error) {
      process.stdout.write(`${JSON.stringify({ file: path, ok: false, error: String(error) })}\n`);
      failed = 1;
    }
  }
  return failed;
}

if (require.main === module) {
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
