import { dirname, extname, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { checkArgument, options as optionsOf, pathText, shortened, text } from "../arguments";
import { EvaClipError } from "../errors";
import { entryAt, nameOf, missingPathError, requireDataPath } from "./data_path";
import type { Dataset } from "./dataset";
import { readData } from "./decompressed";
import { indexedDataset } from "./indexed_dataset";
import { SampleError } from "./sample_error";
import { systemTrouble, troubleError } from "./system_trouble";
import { delimitedRows, jsonLines, LineError, type TextRow } from "./text_rows";

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

const OPTIONS = optionsOf({
  imageKey: text.min(1).optional(),
  captionKey: text.min(1).optional(),
  separator: text.min(1).optional(),
  imageRoot: pathText.optional(),
}).optional();

/** The longest that rows may follow each other without the event loop turning once. */
const TURN_MS = 5;
const IMAGE_KEYS = ["filepath", "image"];
const CAPTION_KEYS = ["title", "caption"];

function dataError(message: string, details: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", message, details);
}

type RowReader = (bytes: AsyncIterable<Buffer>) => AsyncGenerator<TextRow>;

/** How a file's rows are read, by its name without `.gz` or `.zst`. */
function readerFor(path: string, separator: string | undefined): RowReader {
  const extension = extname(path.replace(/\.(gz|zst)$/i, "")).toLowerCase();
  if ([".jsonl", ".ndjson", ".json"].includes(extension)) return jsonLines;
  if (extension === ".csv" || separator !== undefined)
    return (bytes) => delimitedRows(bytes, separator ?? ",");
  if (extension === ".tsv") return (bytes) => delimitedRows(bytes, "\t");
  throw dataError(`a manifest is a .csv, .tsv or .jsonl file, found ${nameOf(path)}`, { path });
}

async function* rowsOf(path: string, separator: string | undefined): AsyncGenerator<TextRow> {
  const readRows = readerFor(path, separator);
  try {
    if ((await entryAt(path)) === "missing") throw await missingPathError(path);
    yield* readRows(readData(path, () => false));
  } catch (error) {
    throw readError(path, error);
  }
}

function readError(path: string, error: unknown): EvaClipError {
  if (error instanceof EvaClipError) return error;
  const trouble = systemTrouble(error);
  if (trouble !== undefined) return troubleError(path, trouble);
  const line = error instanceof LineError ? error.line : undefined;
  const place = line === undefined ? nameOf(path) : `${nameOf(path)}, line ${line}`;
  return new EvaClipError(
    "ERR_EVACLIP_DATA",
    `cannot read the manifest ${place}: ${(error as Error).message}`,
    { path, ...(line !== undefined && { line }) },
    { cause: error },
  );
}

/** The key that a row has: the one asked for, or the first of the usual names. */
function keyIn(
  fields: Readonly<Record<string, unknown>>,
  asked: string | undefined,
  usual: readonly string[],
  what: string,
  place: string,
): string {
  const candidates = asked === undefined ? usual : [asked];
  const key = candidates.find((candidate) => Object.hasOwn(fields, candidate));
  if (key !== undefined) return key;
  const columns = Object.keys(fields);
  const names = `"${candidates.map(shortened).join('" or "')}"`;
  const found = columns.slice(0, 20).map(shortened).join(", ");
  throw dataError(`${place}: no ${what} column ${names}; the columns are ${found}`, { columns });
}

function captionsIn(value: unknown): string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((caption): caption is string => typeof caption === "string");
}

/** A row as it is kept: its line, the image's path (empty: none) and the captions; undefined: not UTF-8. */
interface Entries {
  readonly lines: number[];
  readonly images: string[];
  readonly captions: (string[] | undefined)[];
}

async function readEntries(path: string, options: ManifestOptions): Promise<Entries> {
  const entries: Entries = { lines: [], images: [], captions: [] };
  let keys: { image: string; caption: string } | undefined;
  let turned = performance.now();
  for await (const { line, fields } of rowsOf(path, options.separator)) {
    if (performance.now() - turned > TURN_MS) {
      await setImmediate();
      turned = performance.now();
    }
    entries.lines.push(line);
    if (fields === undefined) {
      entries.images.push("");
      entries.captions.push(undefined);
      continue;
    }
    const place = `${nameOf(path)}, line ${line}`;
    keys ??= {
      image: keyIn(fields, options.imageKey, IMAGE_KEYS, "image", place),
      caption: keyIn(fields, options.captionKey, CAPTION_KEYS, "caption", place),
    };
    const image = fields[keys.image];
    entries.images.push(typeof image === "string" ? image : "");
    entries.captions.push(captionsIn(fields[keys.caption]));
  }
  return entries;
}

/**
 * A table of image paths and captions: .csv, .tsv (a header line names the columns) or .jsonl (one object a line; its
 * caption may be a list of alternatives), UTF-8, plain or compressed by gzip or zstd.
 *
 * @throws EvaClipError ERR_EVACLIP_DATA naming the line, for a missing column, a malformed line or an empty manifest;
 *   ERR_EVACLIP_IO for trouble of the system
 */
export async function openManifest(path: string, options: ManifestOptions = {}): Promise<Dataset> {
  checkArgument("openManifest: path", path, pathText);
  checkArgument("openManifest: options", options, OPTIONS);
  requireDataPath(path);
  const root = options.imageRoot ?? dirname(path);
  const { lines, images, captions } = await readEntries(path, options);
  if (lines.length === 0) throw dataError(`the manifest ${nameOf(path)} has no rows`, { path });
  return indexedDataset({
    size: lines.length,
    at: (index) => ({
      key: `${path}:${lines[index]}`,
      read: async () => {
        const place = `${nameOf(path)}, line ${lines[index]}`;
        const [image, alternatives] = [images[index]!, captions[index]];
        if (alternatives === undefined)
          throw new SampleError("not_utf8", `${place}: it is not UTF-8`, { path });
        if (image === "") throw new SampleError("missing_image", `${place}: no image path`, { path });
        return { image: resolve(root, image), captions: alternatives };
      },
    }),
  });
}
