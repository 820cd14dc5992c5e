import { type Command, InvalidArgumentError, Option } from "commander";
import { layoutNames } from "../../weights/layouts/all_layouts";
import type { WeightDType } from "../../weights/weight_dtype";
import { outputPath } from "../flag_values";
import { addStatementFlags } from "../model_flags";
import type { ConvertFlags } from "./flags";

/** Names of dtypes, ours and PyTorch's. */
const TYPES = { f32: "f32", fp32: "f32", bf16: "bf16", f16: "f16", fp16: "f16" } as const;

function weightType(text: string): WeightDType {
  if (Object.hasOwn(TYPES, text)) return TYPES[text as keyof typeof TYPES];
  throw new InvalidArgumentError(`It must be one of ${Object.keys(TYPES).join(", ")}.`);
}

export function addConvertCommand(program: Command): void {
  const command = program
    .command("convert")
    .description("write weights as safetensors in another layout or dtype, with their configuration")
    .argument("<in>", "weights in any known layout, or a checkpoint's folder")
    .argument("<out>", "a .safetensors file, or a folder", outputPath)
    .addOption(
      new Option("--layout <name>", "layout of names and shapes (default: the model's own)").choices(
        layoutNames,
      ),
    )
    .option("--dtype <type>", `${Object.keys(TYPES).join(", ")} (default: the input's)`, weightType)
    .option("--rope-tables", "also write the RoPE tables, which EVA-CLIP's loader expects", false)
    .option("--json", "print one JSON document", false);
  addStatementFlags(command).action(async (input: string, output: string, flags: ConvertFlags) => {
    const { convert } = require("./action") as typeof import("./action");
    await convert(input, output, flags);
  });
}
