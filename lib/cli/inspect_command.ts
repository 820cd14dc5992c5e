import type { Command } from "commander";
import { addStatementFlags, type StatementFlags } from "./model_commands";

export interface InspectFlags extends StatementFlags {
  json: boolean;
}

export function addInspectCommand(program: Command): void {
  const command = program
    .command("inspect")
    .description("show what a model, a checkpoint or a file of weights holds, and which model it is")
    .argument("<model>", "a published model's name, a checkpoint's folder, or weights of any kind")
    .option("--json", "print one JSON document", false);
  addStatementFlags(command).action(async (target: string, flags: InspectFlags) => {
    const { inspect } = require("./inspect_action") as typeof import("./inspect_action");
    await inspect(target, flags);
  });
}
