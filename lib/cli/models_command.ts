import type { Command } from "commander";

export function addModelsCommand(program: Command): void {
  program
    .command("models")
    .description("list the published models that are known by name")
    .option("--json", "print one JSON document, with other names, configurations and sources", false)
    .action((flags: { json: boolean }) => {
      const { listModels } = require("./models_action") as typeof import("./models_action");
      listModels(flags);
    });
}
