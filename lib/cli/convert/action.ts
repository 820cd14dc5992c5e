import { invalidArgument } from "../../arguments";
import { derivedTensors, ownLayout } from "../../weights/write_weights";
import { ClipModel } from "../../train";
import { Device } from "../../index";
import { type LoadReport, writeWeights } from "../../weights";
import { ModelFile } from "../../clip/model_files";
import type { ConvertFlags } from "./flags";
import { statementFrom } from "../given_model";
import { columns, count, printResult } from "../output";

interface Conversion {
  from: string;
  fromLayout: LoadReport["layout"];
  dtype: string;
  parameters: number;
  files: readonly string[];
}

function describe({ from, fromLayout, dtype, parameters, files }: Conversion): string {
  return columns([
    ["read", `${from} (${fromLayout})`],
    ["parameters", `${count(parameters)}, ${dtype}`],
    ...files.map((file) => ["written", file] as const),
  ]);
}

export async function convert(input: string, output: string, flags: ConvertFlags): Promise<void> {
  await using file = await ModelFile.open(input, await statementFrom(flags));
  const { layout, ropeTables, json, dtype = file.weightType } = flags;
  if (ropeTables && derivedTensors(file.config, layout ?? ownLayout(file.config)).length === 0) {
    throw invalidArgument("--rope-tables is for models with RoPE, in the layout eva_clip");
  }
  const model = new ClipModel(file.config);
  await using device = await Device.open("cpu");
  try {
    const { report, values } = await file.valuesFor(model, device);
    const files = await writeWeights(output, model, { dtype, ropeTables, values, ...(layout && { layout }) });
    const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
    const result: Conversion = { from: report.path, fromLayout: report.layout, dtype, parameters, files };
    printResult(result, json, describe);
  } finally {
    model.dispose();
  }
}
