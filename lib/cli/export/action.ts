import { basename, extname } from "node:path";
import { invalidArgument } from "../../arguments";
import {
  type ExportTarget,
  exportIndex,
  lanceTable,
  openIndex,
  parquetFile,
  postgresTable,
  qdrantCollection,
} from "../../search";
import { withoutUndefined } from "../flag_values";
import { printResult } from "../output";
import { CountBar } from "../progress";
import type { ExportFlags } from "./flags";

/** The flags that only some targets take. */
const TAKES: Readonly<Record<ExportFlags["to"], readonly (keyof ExportFlags)[]>> = {
  parquet: ["out"],
  qdrant: ["url", "name", "apiKey", "prune"],
  pgvector: ["url", "name", "hnsw", "prune"],
  lancedb: ["url", "name", "prune"],
};

const SPELLED: Partial<Record<keyof ExportFlags, string>> = { apiKey: "api-key" };

function checkFlags(flags: ExportFlags): void {
  const special = new Set(Object.values(TAKES).flat());
  for (const name of special) {
    const isFromEnvironment = name === "apiKey" && flags.apiKey === process.env["QDRANT_API_KEY"];
    if (flags[name] === undefined || TAKES[flags.to].includes(name) || isFromEnvironment) continue;
    throw invalidArgument(`--${SPELLED[name] ?? name} is not for --to ${flags.to}`, { field: name });
  }
}

function required(value: string | undefined, flag: string, to: string): string {
  if (value !== undefined) return value;
  throw invalidArgument(`--to ${to} needs ${flag}`);
}

function targetOf(path: string, flags: ExportFlags): ExportTarget {
  checkFlags(flags);
  const name = flags.name ?? basename(path, extname(path));
  const { to, out, url, apiKey, hnsw, prune } = flags;
  switch (to) {
    case "parquet":
      return parquetFile(required(out, "--out FILE", to));
    case "qdrant":
      return qdrantCollection({ collection: name, ...withoutUndefined({ url, apiKey, prune }) });
    case "pgvector":
      return postgresTable({ table: name, ...withoutUndefined({ url, hnsw, prune }) });
    case "lancedb":
      return lanceTable({
        uri: required(url, "--url FOLDER", to),
        table: name,
        ...withoutUndefined({ prune }),
      });
  }
}

export async function exportTo(path: string, flags: ExportFlags): Promise<void> {
  const target = targetOf(path, flags);
  await using index = await openIndex(path);
  const bar = new CountBar("entries");
  try {
    const entries = await exportIndex(index, target, {
      ...withoutUndefined({ batchSize: flags.batchSize }),
      onProgress: (done, total) => bar.show(done, total),
    });
    bar.stop();
    const result = { index: index.path, target: target.name, entries };
    printResult(result, flags.json, () => `${entries} entries of ${index.path} are in ${target.name}`);
  } finally {
    bar.stop();
  }
}
