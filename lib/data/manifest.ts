import { createReadStream } from "node:fs";
import { dirname, extname, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parse } from "csv-parse";
import { EvaClipError } from "../errors";
import type { Dataset } from "./dataset";
import { indexedDataset } from "./indexed_dataset";
import { SampleError } from "./sample_error";

export interface ManifestOptions {
  /** Column or field of the image's path; left out, `filepath` (open_clip's name) or `image`. */
  readonly imageKey?: string;
  /** Column or field of the caption; left out, `title` (open_clip's name) or `caption`. */
  readonly captionKey?: string;
  /** Between columns; left out, a tab for .tsv and a comma for .csv. */
  readonly separator?: string;
  /** Folder that relative image paths start from; left out, the manifest's own. */
  readonly imageRoot?: string;
}

const IMAGE_KEYS = ["filepath", "image"];
const CAPTION_KEYS = ["title", "caption"];

interface Row {
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

function dataError(message: string, details: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", message, details);
}

async function* delimitedRows(path: string, separator: string): AsyncGenerator<Row> {
  const parser = parse({ columns: true, delimiter: separator, bom: true, relax_quotes: true, info: true });
  const file = createReadStream(path);
  file.on("error", (error) => parser.destroy(error));
  try {
    for await (const { info, record } of file.pipe(parser)) yield { line: info.lines, fields: record };
  } catch (error) {
    throw dataError(`cannot read the manifest ${path}: ${(error as Error).message}`, { path });
  } finally {
    file.destroy();
  }
}

async function* jsonRows(path: string): AsyncGenerator<Row> {
  const file = createReadStream(path, "utf8");
  let line = 0;
  try {
    for await (const text of createInterface({ input: file, crlfDelay: Number.POSITIVE_INFINITY })) {
      line++;
      if (text.trim() === "") continue;
      const fields = JSON.parse(line === 1 ? text.replace(/^\ufeff/, "") : text) as unknown;
      if (typeof fields !== "object" || fields === null) throw new Error(`expected an object, found ${text}`);
      yield { line, fields: fields as Record<string, unknown> };
    }
  } catch (error) {
    throw dataError(`cannot read the manifest ${path}, line ${line}: ${(error as Error).message}`, {
      path,
      line,
    });
  } finally {
    file.destroy();
  }
}

function rowsOf(path: string, separator: string | undefined): AsyncGenerator<Row> {
  const extension = extname(path).toLowerCase();
  if (extension === ".jsonl" || extension === ".ndjson") return jsonRows(path);
  if (extension === ".csv" || separator !== undefined) return delimitedRows(path, separator ?? ",");
  if (extension === ".tsv") return delimitedRows(path, "\t");
  throw dataError(`a manifest is a .csv, .tsv or .jsonl file, found ${path}`, { path });
}

/** The key that a row has: the one asked for, or the first of the usual names. */
function keyIn(
  row: Row,
  asked: string | undefined,
  usual: readonly string[],
  what: string,
  path: string,
): string {
  const candidates = asked === undefined ? usual : [asked];
  const key = candidates.find((candidate) => Object.hasOwn(row.fields, candidate));
  if (key !== undefined) return key;
  const found = Object.keys(row.fields).join(", ");
  const message = `${path}, line ${row.line}: no ${what} column "${candidates.join('" or "')}"; the columns are ${found}`;
  throw dataError(message, { path, line: row.line, columns: Object.keys(row.fields) });
}

function captionsIn(value: unknown): string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((caption): caption is string => typeof caption === "string");
}

/**
 * A table of image paths and captions: .csv, .tsv (a header line names the columns) or .jsonl (one object a line; its
 * caption may be a list of alternatives).
 *
 * @throws EvaClipError ERR_EVACLIP_DATA naming the line, for a missing column, a malformed line or an empty manifest
 */
export async function openManifest(path: string, options: ManifestOptions = {}): Promise<Dataset> {
  const root = options.imageRoot ?? dirname(path);
  const images: string[] = [];
  const captions: string[][] = [];
  const lines: number[] = [];
  let keys: { image: string; caption: string } | undefined;
  for await (const row of rowsOf(path, options.separator)) {
    keys ??= {
      image: keyIn(row, options.imageKey, IMAGE_KEYS, "image", path),
      caption: keyIn(row, options.captionKey, CAPTION_KEYS, "caption", path),
    };
    const image = row.fields[keys.image];
    images.push(typeof image === "string" ? image : "");
    captions.push(captionsIn(row.fields[keys.caption]));
    lines.push(row.line);
  }
  if (images.length === 0) throw dataError(`the manifest ${path} has no rows`, { path });
  return indexedDataset({
    size: images.length,
    at: (index) => ({
      key: `${path}:${lines[index]}`,
      read: async () => {
        const image = images[index]!;
        if (image === "")
          throw new SampleError("missing_image", `${path}, line ${lines[index]}: no image path`);
        return { image: resolve(root, image), captions: captions[index]! };
      },
    }),
  });
}
