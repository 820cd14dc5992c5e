import type { Command } from "commander";
import { outputPath } from "../flag_values";
import type { InitFlags } from "./flags";

export function addInitCommand(program: Command): void {
  program
    .command("init")
    .description("write a small project that trains a model and serves it")
    .argument("[folder]", "an empty or new folder", outputPath, ".")
    .option("--json", "print one JSON document", false)
    .action(async (folder: string, flags: InitFlags) => {
      const { init } = require("./action") as typeof import("./action");
      await init(folder, flags);
    });
}
