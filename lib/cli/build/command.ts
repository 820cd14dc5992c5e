import { type Command, InvalidArgumentError, Option } from "commander";
import type { BuildFlags } from "./flags";

/** CMake's list of them: 90a,100 → 90a;100 */
function architectures(text: string): string {
  if (/^\d{2,3}a?([,;]\d{2,3}a?)*$/.test(text)) return text.replaceAll(",", ";");
  throw new InvalidArgumentError("It must be compute capabilities without the dot, such as 80,90a.");
}

export function addBuildCommand(program: Command): void {
  program
    .command("build")
    .description("compile the native addon from the package's sources, for this machine")
    .option("--cuda", "also compile the CUDA backend, which takes up to an hour; needs nvcc", false)
    .addOption(
      new Option("--cuda-architectures <list>", "GPUs to compile for, such as 80,90a (default: all)")
        .argParser(architectures)
        .implies({ cuda: true }),
    )
    .option("--fetch-onednn", "download and compile oneDNN instead of using the system's; needs git", false)
    .option("--json", "print one JSON document", false)
    .action(async (flags: BuildFlags) => {
      const { build } = require("./action") as typeof import("./action");
      await build(flags);
    });
}
