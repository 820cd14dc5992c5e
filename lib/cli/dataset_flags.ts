import { type Command, Option } from "commander";

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
