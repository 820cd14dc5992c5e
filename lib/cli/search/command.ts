import type { Command } from "commander";
import { addDeviceFlags, addPrecisionFlag } from "../device_flags";
import { positive } from "../flag_values";
import { addStatementFlags } from "../model_flags";
import type { SearchFlags } from "./flags";

export function addSearchCommand(program: Command): void {
  const command = program
    .command("search")
    .description("find the images of an index that are most similar to texts or images")
    .argument("<index>", "what `eva-clip index` wrote")
    .argument("[texts...]", "descriptions of images")
    .option("--image <files...>", "images to find similar ones of", [])
    .option("--model <path|name>", "the model of the index (default: where it was when the index was built)")
    .option("--count <n>", "images per query", positive, 10)
    .option(
      "--where <condition>",
      "only images of which this is true, in SQL: \"class = 'bird' and width > 300\"",
    );
  addPrecisionFlag(addDeviceFlags(addStatementFlags(command))).action(
    async (path: string, texts: string[], flags: SearchFlags) => {
      const { search } = require("./action") as typeof import("./action");
      await search(path, texts, flags);
    },
  );
}
