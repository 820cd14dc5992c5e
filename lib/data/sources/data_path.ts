import { readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { EvaClipError } from "../../errors";
import { readError, shownPath } from "../../io/regular_file";
import { suggestionFor } from "../../suggestion";

const TABLE_ADVICE = "write its rows as JSON lines, or its images as WebDataset shards";
const IMAGES_ADVICE = "write its images as WebDataset shards";
const SHEET_ADVICE = "save it as CSV";
/** Unsupported data set formats by extension, with advice. */
const FOREIGN: Readonly<Record<string, readonly [name: string, advice: string]>> = {
  parquet: ["a Parquet file", TABLE_ADVICE],
  arrow: ["an Arrow file", TABLE_ADVICE],
  feather: ["an Arrow file", TABLE_ADVICE],
  orc: ["an ORC file", TABLE_ADVICE],
  avro: ["an Avro file", TABLE_ADVICE],
  xlsx: ["an Excel workbook", SHEET_ADVICE],
  xls: ["an Excel workbook", SHEET_ADVICE],
  ods: ["an OpenDocument spreadsheet", SHEET_ADVICE],
  sqlite: ["an SQLite database", TABLE_ADVICE],
  pkl: ["a Python pickle", TABLE_ADVICE],
  pickle: ["a Python pickle", TABLE_ADVICE],
  mat: ["a MATLAB file", IMAGES_ADVICE],
  h5: ["an HDF5 file", IMAGES_ADVICE],
  hdf5: ["an HDF5 file", IMAGES_ADVICE],
  lmdb: ["an LMDB database", IMAGES_ADVICE],
  mdb: ["an LMDB database", IMAGES_ADVICE],
  tfrecord: ["a TFRecord file", IMAGES_ADVICE],
  npz: ["a NumPy file", IMAGES_ADVICE],
  npy: ["a NumPy file", IMAGES_ADVICE],
  zip: ["a ZIP archive", "unpack it"],
  "7z": ["a 7z archive", "unpack it"],
  rar: ["a RAR archive", "unpack it"],
};

function dataError(path: string, problem: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", problem, { path });
}

/** @throws EvaClipError `ERR_EVACLIP_DATA` for a URL, a pipe or an unsupported format, recognized by the text of the path */
export function requireDataPath(path: string): void {
  const name = shownPath(path);
  const [, scheme] = /^([a-z][a-z0-9+.-]+):/i.exec(path) ?? [];
  if (scheme?.toLowerCase() === "pipe") {
    const message = `${name} is a command; only local files can be read: write its output to a file`;
    throw dataError(path, message);
  }
  if (scheme !== undefined && path.startsWith("//", scheme.length + 1)) {
    const advice = scheme.toLowerCase() === "file" ? "pass the path itself" : "download or mount it first";
    throw dataError(path, `${name} is a URL; only local files can be read: ${advice}`);
  }
  const extension = extname(path).slice(1).toLowerCase();
  if (!Object.hasOwn(FOREIGN, extension)) return;
  const [what, advice] = FOREIGN[extension]!;
  throw dataError(path, `${name} is ${what}, which is not supported: ${advice}`);
}

/** The `ERR_EVACLIP_DATA` error for a missing path, with a suggestion if a similar one exists. */
export async function missingPathError(path: string): Promise<EvaClipError> {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => undefined);
  const name = shownPath(path);
  if (names === undefined && folder !== ".") {
    return dataError(path, `there is no file ${name}: its folder ${shownPath(folder)} does not exist either`);
  }
  if (/[*?]/.test(path)) {
    return dataError(path, `there is no file ${name}; wildcards are not supported, use braces: {000..099}`);
  }
  const meant = suggestionFor(basename(path), names ?? []);
  if (meant !== undefined) {
    return dataError(path, `there is no file ${name}; did you mean ${join(folder, meant)}?`);
  }
  return dataError(path, `there is no file ${name} (${shownPath(resolve(path))})`);
}

/** The kind of entry at a path; anything but a directory counts as a file. @throws EvaClipError like `readError` */
export async function entryAt(path: string): Promise<"directory" | "file" | "missing"> {
  try {
    return (await stat(path)).isDirectory() ? "directory" : "file";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") return "missing";
    throw readError(path, error);
  }
}
