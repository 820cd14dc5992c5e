// Treats the library and its command line as a careless user, a crashing machine and an impatient scheduler would.
//   npm run test:abuse -- [--short] [NAME…]     NAME is a part of a scenario's name
import { parseArgs } from "node:util";
import { argumentMistakes } from "./arguments";
import { exitsWhileBusy, secondInterrupt } from "./exits";
import { killAndResume } from "./kill_and_resume";
import { closedPipe, closedTerminal, fullDisk } from "./lost_outputs";
import { memoryLimit } from "./memory_limit";
import { NotPossible, type Scenario } from "./scenario";
import { clients } from "./soak";
import { terminatedWorkers } from "./workers";

const scenarios: readonly Scenario[] = [
  exitsWhileBusy,
  secondInterrupt,
  terminatedWorkers,
  killAndResume,
  closedPipe,
  closedTerminal,
  fullDisk,
  memoryLimit,
  argumentMistakes,
  clients,
];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { short: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const chosen = scenarios.filter(
    ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
  );
  let failed = 0;
  for (const { name, run } of chosen) {
    const started = performance.now();
    const seconds = () => `${((performance.now() - started) / 1000).toFixed(0)} s`;
    try {
      console.log(`ok: ${name}: ${await run(values.short ? "short" : "full")} (${seconds()})`);
    } catch (error) {
      if (error instanceof NotPossible) {
        console.log(`not run: ${name}: ${error.message}`);
        continue;
      }
      failed += 1;
      console.log(`FAILED: ${name} (${seconds()}): ${(error as Error).message}`);
    }
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

void main();
