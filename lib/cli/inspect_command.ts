import type { Command } from "commander";

export function addInspectCommand(program: Command): void {
  program
    .command("inspect")
    .description("show what a model, a checkpoint or a .safetensors file holds")
    .argument("<model>", "a published model's name, a checkpoint's folder or a file")
    .option("--json", "print one JSON document", false)
    .action(async (target: string, flags: { json: boolean }) => {
      const { inspect } = require("./inspect_action") as typeof import("./inspect_action");
      await inspect(target, flags);
    });
}
