import { dirname, extname, resolve } from "node:path";
import {
  abortSignal,
  checkArgument,
  options as optionsOf,
  ownArgument,
  pathText,
  shortened,
  text,
} from "../../arguments";
import { throwIfAborted } from "../../abortable";
import { EvaClipError } from "../../errors";
import { shownPath } from "../../io/regular_file";
import { entryAt, missingPathError, requireDataPath } from "./data_path";
import { annotationsOption, metadataIn, withNumbers } from "../annotations_option";
import type { Annotations, Dataset, Metadata } from "../dataset";
import { readData } from "./decompressed";
import { schemeOf } from "../../image/image_input";
import { indexedDataset } from "./indexed_dataset";
import { SampleError } from "../../sample_error";
import { systemTrouble, troubleError } from "../system_trouble";
import { delimitedRows, jsonLines, LineError, type TextRow } from "./text_rows";

export interface ManifestOptions {
  /** Column or field of the image path. Default: `filepath` (open_clip's name) or `image`. */
  readonly imageKey?: string;
  /** Column or field of the caption. Default: `title` (open_clip's name) or `caption`. */
  readonly captionKey?: string;
  /** Column separator. Default: a tab for .tsv, a comma for .csv. */
  readonly separator?: string;
  /** Folder that relative image paths are resolved against. Default: the manifest's folder. */
  readonly imageRoot?: string;
  /** `captions` (the default), or `all`: captions are optional, and samples have the other columns as metadata. */
  readonly annotations?: Annotations;
}

const manifestFields = {
  imageKey: text.min(1).optional(),
  captionKey: text.min(1).optional(),
  separator: text.min(1).optional(),
  imageRoot: pathText.optional(),
  annotations: annotationsOption,
};
export const manifestOptions = optionsOf(manifestFields).optional();
const openingOptions = optionsOf({ ...manifestFields, signal: abortSignal.optional() });

const BLOCK_ROWS = 4096;
const IMAGE_KEYS = ["filepath", "image"];
const CAPTION_KEYS = ["title", "caption"];
const JSON_LINES = /\.(jsonl|ndjson|json)(\.(gz|zst))?$/i;

function dataError(message: string, details: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", message, details);
}

type RowReader = (bytes: AsyncIterable<Buffer>) => AsyncGenerator<TextRow[]>;

/** The reader of a manifest, by its extension without `.gz` or `.zst`. */
function readerFor(path: string, separator: string | undefined): RowReader {
  const extension = extname(path.replace(/\.(gz|zst)$/i, "")).toLowerCase();
  if ([".jsonl", ".ndjson", ".json"].includes(extension)) return jsonLines;
  if (extension === ".csv" || separator !== undefined)
    return (bytes) => delimitedRows(bytes, separator ?? ",");
  if (extension === ".tsv") return (bytes) => delimitedRows(bytes, "\t");
  throw dataError(`a manifest is a .csv, .tsv or .jsonl file, found ${shownPath(path)}`, { path });
}

async function* rowsOf(path: string, separator: string | undefined): AsyncGenerator<TextRow[]> {
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
  const place = line === undefined ? shownPath(path) : `${shownPath(path)}, line ${line}`;
  return new EvaClipError(
    "ERR_EVACLIP_DATA",
    `cannot read the manifest ${place}: ${(error as Error).message}`,
    { path, ...(line !== undefined && { line }) },
    { cause: error },
  );
}

/** The key present in a row: the one asked for, or the first of the usual names. */
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
  const names = `"${candidates.map((name) => shortened(name)).join('" or "')}"`;
  const found = columns
    .slice(0, 20)
    .map((name) => shortened(name))
    .join(", ");
  throw dataError(`${place}: no ${what} column ${names}; the columns are ${found}`, { columns });
}

interface Keys {
  readonly image: string;
  /** Undefined if there is no such column and none is needed. */
  readonly caption: string | undefined;
}

function keysIn(
  fields: Readonly<Record<string, unknown>>,
  { imageKey, captionKey, annotations }: ManifestOptions,
  place: string,
): Keys {
  const needsCaption = annotations !== "all" || captionKey !== undefined;
  const hasCaption = needsCaption || CAPTION_KEYS.some((key) => Object.hasOwn(fields, key));
  return {
    image: keyIn(fields, imageKey, IMAGE_KEYS, "image", place),
    caption: hasCaption ? keyIn(fields, captionKey, CAPTION_KEYS, "caption", place) : undefined,
  };
}

/** A row's captions; a single one is stored without a list to save memory. */
type Captions = string | readonly string[];

function captionsIn(value: unknown): Captions {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.filter((caption) => typeof caption === "string") : [];
}

/** A stored row: `image` is empty if the path is missing, `captions` undefined if the row is not UTF-8. */
interface Entry {
  readonly line: number;
  readonly image: string;
  readonly captions: Captions | undefined;
  readonly metadata?: Metadata;
}

/** Rows in blocks: growing one array of millions would block the event loop. */
class Entries {
  size = 0;
  private readonly blocks: Entry[][] = [];

  add(entry: Entry): void {
    if (this.size % BLOCK_ROWS === 0) this.blocks.push([]);
    this.blocks.at(-1)!.push(entry);
    this.size++;
  }

  at(index: number): Entry {
    return this.blocks[Math.floor(index / BLOCK_ROWS)]![index % BLOCK_ROWS]!;
  }
}

function otherColumns(
  fields: Readonly<Record<string, unknown>>,
  { image, caption }: Keys,
  path: string,
): Metadata {
  const metadata = metadataIn(fields, caption === undefined ? [image] : [image, caption]);
  return JSON_LINES.test(path) ? metadata : withNumbers(metadata);
}

async function readEntries(path: string, options: ManifestOptions, signal?: AbortSignal): Promise<Entries> {
  const entries = new Entries();
  let keys: Keys | undefined;
  for await (const rows of rowsOf(path, options.separator)) {
    throwIfAborted(signal);
    for (const { line, fields } of rows) {
      if (fields === undefined) {
        entries.add({ line, image: "", captions: undefined });
        continue;
      }
      keys ??= keysIn(fields, options, `${shownPath(path)}, line ${line}`);
      const image = fields[keys.image];
      const captions = keys.caption === undefined ? [] : captionsIn(fields[keys.caption]);
      entries.add({
        line,
        image: typeof image === "string" ? image : "",
        captions,
        ...(options.annotations === "all" && { metadata: otherColumns(fields, keys, path) }),
      });
    }
  }
  return entries;
}

/**
 * A table of image paths and captions: .csv, .tsv (a header line names the columns) or .jsonl (one object per line; the
 * caption may be a list of alternatives), in UTF-8, plain or compressed with gzip or zstd. An image may also be a file: or
 * data: URL; samples with other URLs are skipped.
 *
 * @throws EvaClipError `ERR_EVACLIP_DATA`, naming the line, for a missing column, a malformed line or an empty manifest;
 *   `ERR_EVACLIP_IO` for system errors
 */
export async function openManifest(
  path: string,
  given: ManifestOptions & { readonly signal?: AbortSignal } = {},
): Promise<Dataset> {
  checkArgument("openManifest: path", path, pathText);
  const { signal, ...options } = ownArgument("openManifest: options", given, openingOptions);
  throwIfAborted(signal);
  requireDataPath(path);
  const root = options.imageRoot ?? dirname(path);
  const entries = await readEntries(path, options, signal);
  if (entries.size === 0) throw dataError(`the manifest ${shownPath(path)} has no rows`, { path });
  return indexedDataset({
    size: entries.size,
    at: (index) => {
      const { line, image, captions, metadata } = entries.at(index);
      const place = `${shownPath(path)}, line ${line}`;
      return {
        key: `${path}:${line}`,
        read: async () => {
          if (captions === undefined)
            throw new SampleError("not_utf8", `${place}: it is not UTF-8`, { path });
          if (image === "") throw new SampleError("missing_image", `${place}: no image path`, { path });
          return {
            image: schemeOf(image) === undefined ? resolve(root, image) : image,
            captions: [captions].flat(),
            ...(metadata && { metadata }),
          };
        },
      };
    },
  });
}
