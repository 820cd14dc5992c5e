import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  describeEnding,
  expectThat,
  NotPossible,
  root,
  runProgram,
  type Scenario,
  typeScript,
} from "./scenario";

const LIMIT_BYTES = 1.5e9;
const LIMIT_MS = 120_000;

/** A control group of that much memory: its folder, and the file that takes processes into it. */
function makeGroup(): string {
  const name = `eva-clip-abuse-${process.pid}`;
  const [first, second] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
  try {
    if (existsSync(join(first, "memory.limit_in_bytes"))) {
      mkdirSync(join(first, name));
      writeFileSync(join(first, name, "memory.limit_in_bytes"), String(LIMIT_BYTES));
      return join(first, name);
    }
    mkdirSync(join(second, name));
    writeFileSync(join(second, name, "memory.max"), String(LIMIT_BYTES));
    writeFileSync(join(second, name, "memory.swap.max"), "0");
    return join(second, name);
  } catch (error) {
    throw new NotPossible(`a control group cannot be made here: ${(error as Error).message}`);
  }
}

const create = (name: string) => `
  const { EvaClip } = require(${JSON.stringify(join(root, "lib", "index.ts"))});
  EvaClip.create(${JSON.stringify(name)}, { device: "cpu" })
    .then(() => console.log("created"), ({ code, message, details }) => console.log(JSON.stringify({ code, message, details })));`;

export const memoryLimit: Scenario = {
  name: "a memory limit of 1.5 GB",
  async run() {
    const group = makeGroup();
    try {
      // A model that does not fit is refused; one that does is made. 18B fits into no machine of this kind.
      for (const [name, fits] of [
        ["EVA02-CLIP-L-14", false],
        ["EVA-CLIP-18B", false],
        ["EVA02-CLIP-B-16", true],
      ] as const) {
        const script = `echo $$ > '${group}/cgroup.procs' && exec "$@"`;
        const words = ["-c", script, "bash", process.execPath, ...typeScript, "-e", create(name)];
        const ending = await runProgram(words, { command: "bash", limitMs: LIMIT_MS });
        expectThat(ending.code === 0, () => `${name}: ${describeEnding(ending)}`);
        const expected = fits ? "created" : "ERR_EVACLIP_OUT_OF_MEMORY";
        expectThat(ending.out.includes(expected), () => `${name}: ${ending.out.slice(0, 300)}`);
        if (!fits) {
          const { details } = JSON.parse(ending.out) as { details: Record<string, unknown> };
          expectThat(
            Number(details.needed) > LIMIT_BYTES / 2 && Number(details.free) < LIMIT_BYTES,
            () => `${name}: needed and free are ${JSON.stringify(details)}`,
          );
        }
      }
      return "models that do not fit are refused with the bytes needed and free; one that fits is made";
    } finally {
      rmdirSync(group);
    }
  },
};
