import { type Command, Option } from "commander";

/** Flags that describe a data set. */
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

/** Flags that only one type of data uses. */
export const FLAGS_OF_KIND = {
  csv: ["csvImgKey", "csvCaptionKey", "csvSeparator"],
  webdataset: ["imageKey", "textKey", "jsonTextKey", "damagedShards"],
} as const satisfies Partial<Record<DatasetFlags["datasetType"], readonly (keyof DatasetFlags)[]>>;

/** Accepts `tab` and `\\t`, because shells differ in how a tab is typed. */
function separator(text: string): string {
  return text === "tab" ? "\t" : text.replaceAll("\\t", "\t");
}

export function addDatasetFlags(command: Command): Command {
  return command
    .addOption(
      new Option("--dataset-type <type>", "type of the data; auto decides by name and contents")
        .choices(["auto", "webdataset", "csv", "folder", "class-folder"])
        .default("auto"),
    )
    .option("--csv-img-key <name>", "column of the image path (default: filepath or image)")
    .option("--csv-caption-key <name>", "column of the caption (default: title or caption)")
    .option(
      "--csv-separator <text>",
      "column separator, such as tab (default: tab for .tsv, comma for .csv; open_clip's is tab)",
      separator,
    )
    .option(
      "--image-key <names>",
      "extensions of images in shards, the first present wins (default: jpg;png;jpeg;webp)",
    )
    .option("--text-key <names>", "extensions of captions in shards (default: txt)")
    .option(
      "--json-text-key <names>",
      "caption fields of .json members, for samples without a text member (default: caption)",
    )
    .addOption(
      new Option(
        "--damaged-shards <action>",
        "end the run on a missing or damaged shard, or skip and count it (default: error)",
      ).choices(["error", "skip"]),
    );
}
