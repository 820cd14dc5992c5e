import { pipeline } from "node:stream";
import { parse } from "csv-parse";
import { shortened } from "../arguments";
import { decodeUtf8, parsePythonJson } from "./parse_json";

/** A row of a table: its line, counted from 1, and its fields; none where the line is not UTF-8. */
export interface TextRow {
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** A table's line that cannot be read. */
export class LineError extends Error {
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message);
  }
}

const MOST_LINE_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 4 * 1024;

/**
 * Text of bytes that were read as Latin-1, a character a byte: so lines and separators are found in any encoding, and
 * one row that is not UTF-8 is one row that cannot be used.
 */
function decoded(latin1: string): string | undefined {
  return /[^ -~\s]/.test(latin1) ? decodeUtf8(Buffer.from(latin1, "latin1")) : latin1;
}

/** Chunks without a byte order mark, small enough to be parsed without holding the event loop. */
async function* withoutMark(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isStart = true;
  for await (const chunk of bytes) {
    const start = isStart ? chunk.toString("latin1", 0, 3) : "";
    if (/^(\xff\xfe|\xfe\xff)/.test(start)) {
      throw new LineError(1, "it is UTF-16 text, expected UTF-8: save it as UTF-8");
    }
    for (let at = start === "\xef\xbb\xbf" ? 3 : 0; at < chunk.length; at += PIECE_BYTES) {
      yield chunk.subarray(at, at + PIECE_BYTES);
    }
    isStart = false;
  }
}

async function* linesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<{ line: number; text: string }> {
  let line = 0;
  let rest = "";
  for await (const chunk of withoutMark(bytes)) {
    const texts = (rest + chunk.toString("latin1")).split("\n");
    rest = texts.pop()!;
    for (const text of texts) yield { line: ++line, text };
    if (rest.length > MOST_LINE_BYTES) throw new LineError(line + 1, "the line is longer than 64 MiB");
  }
  if (rest !== "") yield { line: line + 1, text: rest };
}

/** One JSON object a line; blank lines are left out. */
export async function* jsonLines(bytes: AsyncIterable<Buffer>): AsyncGenerator<TextRow> {
  let isFirst = true;
  for await (const { line, text } of linesOf(bytes)) {
    const trimmed = text.trim();
    if (trimmed === "") continue;
    if (isFirst && trimmed.startsWith("[")) {
      const advice = "with jq: jq -c '.[]' FILE > FILE.jsonl";
      throw new LineError(line, `it is a JSON array, expected JSON lines, one object a line (${advice})`);
    }
    isFirst = false;
    const json = decoded(trimmed);
    yield { line, fields: json === undefined ? undefined : objectIn(json, line) };
  }
}

function objectIn(json: string, line: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = parsePythonJson(json);
  } catch (error) {
    throw new LineError(line, `expected an object of JSON on one line: ${(error as Error).message}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new LineError(line, `expected an object, found ${shortened(json)}`);
}

const SEPARATORS: Readonly<Record<string, string>> = {
  ",": "a comma",
  "\t": "a tab",
  ";": "a semicolon",
  "|": "a vertical bar",
};

/** A separator in words: "a tab". */
function separatorName(separator: string): string {
  return SEPARATORS[separator] ?? JSON.stringify(separator);
}

/** Throws where a header is one column that holds another of the usual separators. */
function requireSeparator(columns: readonly string[], expected: string, line: number): void {
  const found = Object.keys(SEPARATORS).find((separator) => columns[0]!.includes(separator));
  if (columns.length > 1 || found === undefined) return;
  const [there, asked] = [separatorName(found), separatorName(expected)];
  const advice = `give ${JSON.stringify(found)} as the separator (--csv-separator)`;
  throw new LineError(line, `the columns are separated by ${there}, expected ${asked}: ${advice}`);
}

/**
 * Rows of text with separated columns, which the first row names. As in pandas, blank lines are left out and a row may
 * have fewer fields than columns, not more.
 */
export async function* delimitedRows(
  bytes: AsyncIterable<Buffer>,
  separator: string,
): AsyncGenerator<TextRow> {
  let columns: readonly string[] | undefined;
  for await (const { line, fields } of recordsOf(bytes, separator)) {
    if (fields.length === 1 && fields[0]!.trim() === "") continue;
    const texts = fields.map(decoded);
    const isUtf8 = texts.every((text) => text !== undefined);
    if (columns === undefined) {
      if (!isUtf8) throw new LineError(line, "the names of the columns are not UTF-8");
      columns = texts;
      requireSeparator(columns, separator, line);
      continue;
    }
    if (fields.length > columns.length) {
      const advice = "put a field that holds the separator in quotes";
      const message = `expected ${columns.length} fields separated by ${separatorName(separator)}, found ${fields.length}: ${advice}`;
      throw new LineError(line, message);
    }
    yield { line, fields: isUtf8 ? fieldsOf(columns, texts) : undefined };
  }
}

/** Of two columns with one name the first counts, as in pandas. */
function fieldsOf(columns: readonly string[], texts: readonly (string | undefined)[]): TextRow["fields"] {
  const fields: Record<string, string | undefined> = Object.create(null);
  for (const [i, column] of columns.entries()) if (!(column in fields)) fields[column] = texts[i];
  return fields;
}

interface Delimited {
  readonly line: number;
  readonly fields: readonly string[];
}

async function* recordsOf(bytes: AsyncIterable<Buffer>, separator: string): AsyncGenerator<Delimited> {
  const parser = parse({
    encoding: "latin1",
    delimiter: Buffer.from(separator).toString("latin1"),
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_quotes: true,
    relax_column_count: true,
    info: true,
    max_record_size: MOST_LINE_BYTES,
  });
  // What goes wrong is thrown by the loop below; the pipeline closes the file when the loop is left.
  pipeline(withoutMark(bytes), parser, () => undefined);
  try {
    for await (const { info, record } of parser) yield { line: info.lines, fields: record };
  } finally {
    parser.destroy();
  }
}
