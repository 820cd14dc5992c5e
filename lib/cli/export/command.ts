import { type Command, Option } from "commander";
import { outputPath, positive } from "../flag_values";
import { type ExportFlags, KINDS } from "./flags";

export function addExportCommand(program: Command): void {
  program
    .command("export")
    .description("copy an index, with vectors and metadata, to a file or a vector database")
    .argument("<index>", "what `eva-clip index` wrote")
    .addOption(new Option("--to <kind>", "what to copy it to").choices(KINDS).makeOptionMandatory())
    .option("--out <file>", "parquet: the file to write", outputPath)
    .option(
      "--url <url>",
      "qdrant: its address (default: http://localhost:6333); pgvector: postgres://… (default: PGHOST, PGUSER, …); lancedb: a folder or s3://…",
    )
    .option("--name <name>", "collection or table, created if missing (default: the name of the index)")
    .addOption(new Option("--api-key <key>", "qdrant: its key").env("QDRANT_API_KEY"))
    .option("--hnsw", "pgvector: build an HNSW index for cosine distance")
    .option("--prune", "delete what is stored under ids that the index does not have")
    .option("--batch-size <n>", "entries per request", positive)
    .option("--json", "print the result as JSON", false)
    .action(async (index: string, flags: ExportFlags) => {
      const { exportTo } = require("./action") as typeof import("./action");
      await exportTo(index, flags);
    });
}
