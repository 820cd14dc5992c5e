import { type Command, InvalidArgumentError, Option } from "commander";
import type { LayoutName } from "../weights/layouts/layout";
import { layoutNames } from "../weights/layouts/all_layouts";
import type { WeightDType } from "../weights/weight_dtype";
import { outputPath } from "./flags";
import { addStatementFlags, type StatementFlags } from "./model_commands";

export interface ConvertFlags extends StatementFlags {
  layout?: LayoutName;
  dtype?: WeightDType;
  ropeTables: boolean;
  json: boolean;
}

/** Names of the types of weights, ours and PyTorch's. */
const TYPES = { f32: "f32", fp32: "f32", bf16: "bf16", f16: "f16", fp16: "f16" } as const;

function weightType(text: string): WeightDType {
  if (Object.hasOwn(TYPES, text)) return TYPES[text as keyof typeof TYPES];
  throw new InvalidArgumentError(`It must be one of ${Object.keys(TYPES).join(", ")}.`);
}

export function addConvertCommand(program: Command): void {
  const command = program
    .command("convert")
    .description("write weights as safetensors in another layout or type, with the configuration beside them")
    .argument("<in>", "weights in any known layout, or a checkpoint's folder")
    .argument("<out>", "a .safetensors file, or a folder", outputPath)
    .addOption(
      new Option("--layout <name>", "whose names and shapes to write (default: the model's own)").choices(
        layoutNames,
      ),
    )
    .option("--dtype <type>", `${Object.keys(TYPES).join(", ")} (default: as they are)`, weightType)
    .option(
      "--rope-tables",
      "write the tables of rotary positions too, which EVA-CLIP's loader expects",
      false,
    )
    .option("--json", "print one JSON document", false);
  addStatementFlags(command).action(async (input: string, output: string, flags: ConvertFlags) => {
    const { convert } = require("./convert_action") as typeof import("./convert_action");
    await convert(input, output, flags);
  });
}
