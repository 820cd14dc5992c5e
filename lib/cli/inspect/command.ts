import type { Command } from "commander";
import { addStatementFlags } from "../model_flags";
import type { InspectFlags } from "./flags";

export function addInspectCommand(program: Command): void {
  const command = program
    .command("inspect")
    .description("show the contents of a model, a checkpoint or a file of weights, and which model it is")
    .argument(
      "<model>",
      "a published model's name, hf-hub:OWNER/NAME, a checkpoint's folder, or weights in any known layout",
    )
    .option("--json", "print one JSON document", false);
  addStatementFlags(command).action(async (target: string, flags: InspectFlags) => {
    const { inspect } = require("./action") as typeof import("./action");
    await inspect(target, flags);
  });
}
