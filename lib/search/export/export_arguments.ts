import { z } from "zod";
import { flag, options, ownArgument, pathText, text } from "../../arguments";
import { EvaClipError } from "../../errors";
import type { VectorStore } from "../vector_store";
import type { ExportTarget } from "./export_target";

const hasMethods = (value: unknown, ...names: string[]) =>
  typeof value === "object" &&
  value !== null &&
  names.every((name) => typeof (value as Record<string, unknown>)[name] === "function");

export const vectorStore = z.custom<VectorStore>((value) => hasMethods(value, "nearest", "vectors"), {
  error: "an index that openIndex opened",
});
export const exportTarget = z.custom<ExportTarget>((value) => hasMethods(value, "write"), {
  error: "a target, such as parquetFile or qdrantCollection returns",
});

const serverUrl = (protocols: readonly string[]) =>
  z
    .string({ error: `a URL that begins with ${protocols.join(" or ")}` })
    .refine((url) => URL.canParse(url) && protocols.includes(`${new URL(url).protocol}//`), {
      error: `a URL that begins with ${protocols.join(" or ")}`,
    });

const name = z.string({ error: "a name" }).min(1).max(255);

export interface PruneOption {
  /** Delete what the target has under ids that the index does not have. Default false. */
  readonly prune?: boolean;
}

export interface QdrantOptions extends PruneOption {
  /** Default `http://localhost:6333`. */
  readonly url?: string;
  /** Created if it does not exist. */
  readonly collection: string;
  readonly apiKey?: string;
}

export interface PostgresOptions extends PruneOption {
  /** `postgres://user@host:5432/database`; by default PGHOST, PGUSER, … of the environment. */
  readonly url?: string;
  /** Created if it does not exist; with a schema, `schema.table`. */
  readonly table: string;
  /** Whether to build an HNSW index for cosine distance after the last entry. Default false. */
  readonly hnsw?: boolean;
}

export interface LanceOptions extends PruneOption {
  /** A folder, or an address that LanceDB takes, such as `s3://bucket/path`. */
  readonly uri: string;
  /** Created if it does not exist. */
  readonly table: string;
}

const qdrantOptions = options({
  url: serverUrl(["http://", "https://"]).optional(),
  collection: name,
  apiKey: text.min(1).optional(),
  prune: flag.optional(),
});

const postgresOptions = options({
  url: serverUrl(["postgres://", "postgresql://"]).optional(),
  table: name,
  hnsw: flag.optional(),
  prune: flag.optional(),
});

const lanceOptions = options({ uri: pathText, table: name, prune: flag.optional() });

export const ownQdrantOptions = (given: QdrantOptions) =>
  ownArgument("qdrantCollection: options", given, qdrantOptions);
export const ownPostgresOptions = (given: PostgresOptions) =>
  ownArgument("postgresTable: options", given, postgresOptions);
export const ownLanceOptions = (given: LanceOptions) =>
  ownArgument("lanceTable: options", given, lanceOptions);

/** A URL without what must not appear in messages. */
export function withoutPassword(url: string): string {
  const shown = new URL(url);
  shown.password = "";
  shown.search = "";
  return shown.href;
}

/**
 * What `load` returns, which requires an optional package.
 * @throws EvaClipError `ERR_EVACLIP_PACKAGE_MISSING` with the command that installs it
 */
export function optionalPackage<T>(packages: string, load: () => T): T {
  try {
    return load();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw cause;
    const message = `this export needs a package that is not installed: run \`npm install ${packages}\``;
    throw new EvaClipError("ERR_EVACLIP_PACKAGE_MISSING", message, { package: packages }, { cause });
  }
}

/** `ERR_EVACLIP_EXPORT` naming the target. */
export function exportError(target: string, problem: string, cause?: unknown): EvaClipError {
  const details = { target };
  return new EvaClipError(
    "ERR_EVACLIP_EXPORT",
    `${target}: ${problem}`,
    details,
    cause === undefined ? {} : { cause },
  );
}

/** Runs a request to the target; what it throws becomes `ERR_EVACLIP_EXPORT` with the reason. */
export type Ask = <T>(request: () => Promise<T>) => Promise<T>;

export function asking(target: string, reasonOf: (error: unknown) => string): Ask {
  return async (request) => {
    try {
      return await request();
    } catch (error) {
      throw exportError(target, reasonOf(error), error);
    }
  };
}

/** The error for a target with vectors of another length or kind. */
export function anotherLength(target: string, found: string, dimensions: number): EvaClipError {
  return exportError(
    target,
    `it holds ${found}, the index has vectors of ${dimensions} numbers; choose another name`,
  );
}
