// Compares models in the format of test/fixtures with the published code's outputs:
// npm run parity -- [--device cpu|cuda] [FILE…]     by default every model of test/fixtures
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Device } from "eva-clip";
import { readFixture } from "./fixture";
import type { Worst } from "./relative_error";
import { type Parity, runFixture } from "./run_fixture";

/** Maximum relative L2 error of each group in f32. */
const TOLERANCES = {
  eval: 2e-5,
  loss: 1e-5,
  grad: 2e-5,
  lamb: 1e-4,
} as const satisfies Partial<Record<keyof Parity, number>>;

/** The groups above the tolerance, with the error and its tensor. */
export function failures(parity: Parity): string[] {
  return Object.entries(TOLERANCES).flatMap(([group, tolerance]) => {
    const found = parity[group as keyof Parity];
    return found === undefined || found.error <= tolerance
      ? []
      : [`${group}: ${found.error} in ${found.name}`];
  });
}

function report(path: string, parity: Parity): void {
  const groups = Object.entries(parity) as [keyof Parity, Worst][];
  const line = {
    file: path,
    ...Object.fromEntries(groups.map(([group, { error }]) => [group, error])),
    worst: Object.fromEntries(groups.map(([group, { name }]) => [group, name])),
    ok: failures(parity).length === 0,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The fixtures that hold a model: the others hold inputs and outputs of single functions. */
function modelFixtures(): string[] {
  const folder = join(__dirname, "..", "fixtures");
  const names = readdirSync(folder).filter((name) => /^(eva|openai).*\.safetensors$/.test(name));
  return names.sort().map((name) => join(folder, name));
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { device: { type: "string", default: "cpu" } },
  });
  const paths = positionals.length > 0 ? positionals : modelFixtures();
  await using device = await Device.open(values.device as "cpu" | "cuda", { threads: 1 });
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
  void main().then((code) => {
    process.exitCode = code;
  });
}
