import { type Command, InvalidArgumentError, Option } from "commander";

function numberFrom(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

export function real(text: string): number {
  const value = numberFrom(text);
  if (value < 0) throw new InvalidArgumentError("It must be 0 or more.");
  return value;
}

export function share(text: string): number {
  const value = numberFrom(text);
  if (value < 0 || value > 1) throw new InvalidArgumentError("It must be from 0 to 1.");
  return value;
}

export function belowOne(text: string): number {
  const value = share(text);
  if (value === 1) throw new InvalidArgumentError("It must be 0 or more, and less than 1.");
  return value;
}

export function whole(text: string): number {
  const value = numberFrom(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError("It must be a whole number of 0 or more.");
  }
  return value;
}

export function positive(text: string): number {
  const value = whole(text);
  if (value === 0) throw new InvalidArgumentError("It must be 1 or more.");
  return value;
}

/** Samples decoded at once are held in memory, all of them before the first batch. */
const MOST_WORKERS = 1024;

export function workers(text: string): number {
  const value = positive(text);
  if (value > MOST_WORKERS) throw new InvalidArgumentError(`It must be from 1 to ${MOST_WORKERS}.`);
  return value;
}

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
    .option("--threads <n>", "threads of the CPU", positive)
    .option("--json", "print one JSON document", false);
}

/** Names of the number types, ours and open_clip's. */
const PRECISIONS = { f32: "f32", fp32: "f32", bf16: "bf16", amp_bf16: "bf16", amp_bfloat16: "bf16" } as const;

export type Precision = "f32" | "bf16";

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
    .option("--csv-separator <text>", "between the columns (default: tab for .tsv, comma for .csv)");
}
