import type { Command } from "commander";
import type { ModelsFlags } from "./flags";

export function addModelsCommand(program: Command): void {
  program
    .command("models")
    .description("list the published models, and the tags of their weights")
    .option("--json", "print one JSON document, with other names, configurations and sources", false)
    .action((flags: ModelsFlags) => {
      const { listModels } = require("./action") as typeof import("./action");
      listModels(flags);
    });
}
