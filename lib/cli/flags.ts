import { availableParallelism, homedir } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Precision } from "../models/precision";
import { integer } from "./numbers";

/** A path to write to. Of a `~` that the shell has left in place, a folder of that name would be made. */
export function outputPath(text: string): string {
  if (!/^~(\/|$)/.test(text)) return text;
  const advice = `write ${homedir()}${text.slice(1)}, or ./${text} for a folder named ~`;
  throw new InvalidArgumentError(`The shell expands ~ only at the start of a word: ${advice}.`);
}

/** As many as a device of the CPU has at most. */
const MOST_THREADS = Math.max(64, 4 * availableParallelism());

/** Flags of every command that computes. */
export interface DeviceFlags {
  device: "auto" | "cpu" | "cuda";
  threads?: number;
  json: boolean;
}

export function addDeviceFlags(command: Command): Command {
  const device = new Option("--device <kind>", "where to compute")
    .choices(["auto", "cpu", "cuda"])
    .default("auto");
  // A variable that is set but empty means the same as one that is not set.
  if (process.env.EVA_CLIP_DEVICE) device.env("EVA_CLIP_DEVICE");
  return command
    .addOption(device)
    .option("--threads <n>", "threads of the CPU", integer(1, MOST_THREADS))
    .option("--json", "print one JSON document", false);
}

/** Names of the number types, ours and open_clip's. */
const PRECISIONS = { f32: "f32", fp32: "f32", bf16: "bf16", amp_bf16: "bf16", amp_bfloat16: "bf16" } as const;

export function addPrecisionFlag(command: Command): Command {
  return command.addOption(
    new Option("--precision <type>", `type of activations: ${Object.keys(PRECISIONS).join(", ")}`)
      .default("f32")
      .argParser((text): Precision => {
        if (Object.hasOwn(PRECISIONS, text)) return PRECISIONS[text as keyof typeof PRECISIONS];
        throw new InvalidArgumentError(`It must be one of ${Object.keys(PRECISIONS).join(", ")}.`);
      }),
  );
}

/** Flags that say what a data set is. */
export interface DatasetFlags {
  datasetType: "auto" | "webdataset" | "csv" | "folder" | "class-folder";
  csvImgKey?: string;
  csvCaptionKey?: string;
  csvSeparator?: string;
  imageKey?: string;
  textKey?: string;
  jsonTextKey?: string;
  shuffleBuffer?: number;
  damagedShards?: "error" | "skip";
}

/** Flags by the only kind of data that has a use for them. */
export const FLAGS_OF_KIND = {
  csv: ["csvImgKey", "csvCaptionKey", "csvSeparator"],
  webdataset: ["imageKey", "textKey", "jsonTextKey", "damagedShards"],
} as const satisfies Partial<Record<DatasetFlags["datasetType"], readonly (keyof DatasetFlags)[]>>;

/** Each shell writes a tab in its own way. */
function separator(text: string): string {
  return text === "tab" ? "\t" : text.replaceAll("\\t", "\t");
}

export function addDatasetFlags(command: Command): Command {
  return command
    .addOption(
      new Option("--dataset-type <type>", "what the data are; auto goes by the name")
        .choices(["auto", "webdataset", "csv", "folder", "class-folder"])
        .default("auto"),
    )
    .option("--csv-img-key <name>", "column of the image path (default: filepath or image)")
    .option("--csv-caption-key <name>", "column of the caption (default: title or caption)")
    .option(
      "--csv-separator <text>",
      "between the columns, such as tab (default: tab for .tsv, comma for .csv)",
      separator,
    )
    .option("--image-key <names>", "extensions of the image in shards (default: jpg;png;jpeg;webp)")
    .option("--text-key <names>", "extensions of the caption in shards (default: txt)")
    .option(
      "--json-text-key <names>",
      "fields of the caption in a shard's .json, where there is no text (default: caption)",
    )
    .addOption(
      new Option(
        "--damaged-shards <action>",
        "at a shard that is missing or damaged: end the run, or skip and count it (default: error)",
      ).choices(["error", "skip"]),
    );
}
