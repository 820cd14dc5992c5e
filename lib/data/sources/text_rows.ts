import { finished } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { parse } from "csv-parse";
import { shortened } from "../../arguments";
import { decodeUtf8, parsePythonJson } from "./parse_json";

/** A row of a table: its line, counted from 1, and its fields; undefined if the line is not UTF-8. */
export interface TextRow {
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** An error in one line of a table. */
export class LineError extends Error {
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message);
  }
}

const MOST_LINE_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 8 * 1024;
/** Maximum time between two turns of the event loop. */
const TURN_MS = 2;

/**
 * Decodes the UTF-8 bytes of a Latin-1 string. Files are split as Latin-1, one character per byte, so that invalid UTF-8
 * spoils only its own row.
 */
function decoded(latin1: string): string | undefined {
  return /[^ -~\s]/.test(latin1) ? decodeUtf8(Buffer.from(latin1, "latin1")) : latin1;
}

/** Small pieces of a text without its byte order mark, yielding to the event loop every `TURN_MS`. */
async function* piecesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isStart = true;
  let turned = performance.now();
  for await (const chunk of bytes) {
    const start = isStart ? chunk.toString("latin1", 0, 3) : "";
    if (/^(\xff\xfe|\xfe\xff)/.test(start)) {
      throw new LineError(1, "it is UTF-16 text, expected UTF-8: save it as UTF-8");
    }
    isStart = false;
    for (let at = start === "\xef\xbb\xbf" ? 3 : 0; at < chunk.length; at += PIECE_BYTES) {
      yield chunk.subarray(at, at + PIECE_BYTES);
      if (performance.now() - turned < TURN_MS) continue;
      await setImmediate();
      turned = performance.now();
    }
  }
}

/** Complete lines, grouped by the piece they end in; the last line may lack a line break. */
async function* linesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  let line = 0;
  let rest = "";
  for await (const piece of piecesOf(bytes)) {
    // Split before joining: joining first would copy the start of a long line for every piece.
    const texts = piece.toString("latin1").split("\n");
    texts[0] = rest + texts[0]!;
    rest = texts.pop()!;
    line += texts.length;
    if (rest.length > MOST_LINE_BYTES) throw new LineError(line + 1, "the line is longer than 64 MiB");
    if (texts.length > 0) yield texts;
  }
  if (rest !== "") yield [rest];
}

/** One JSON object per line; blank lines are ignored. */
export async function* jsonLines(bytes: AsyncIterable<Buffer>): AsyncGenerator<TextRow[]> {
  let line = 0;
  let isFirst = true;
  for await (const texts of linesOf(bytes)) {
    const rows: TextRow[] = [];
    for (const text of texts) {
      line++;
      const trimmed = text.trim();
      if (trimmed === "") continue;
      if (isFirst && trimmed.startsWith("[")) {
        const advice = "with jq: jq -c '.[]' FILE > FILE.jsonl";
        throw new LineError(line, `it is a JSON array, expected JSON lines, one object per line (${advice})`);
      }
      isFirst = false;
      const json = decoded(trimmed);
      rows.push({ line, fields: json === undefined ? undefined : objectIn(json, line) });
    }
    yield rows;
  }
}

function objectIn(json: string, line: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = parsePythonJson(json);
  } catch (error) {
    throw new LineError(line, `expected a JSON object on one line: ${(error as Error).message}`);
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

/** The name of a separator: "a tab". */
function separatorName(separator: string): string {
  return SEPARATORS[separator] ?? JSON.stringify(separator);
}

/** Throws if the header is a single column that contains another common separator. */
function requireSeparator(columns: readonly string[], expected: string, line: number): void {
  const found = Object.keys(SEPARATORS).find((separator) => columns[0]!.includes(separator));
  if (columns.length > 1 || found === undefined) return;
  const [there, asked] = [separatorName(found), separatorName(expected)];
  const advice = `pass ${JSON.stringify(found)} as the separator (--csv-separator)`;
  throw new LineError(line, `the columns are separated by ${there}, expected ${asked}: ${advice}`);
}

/** The first of several columns with the same name is used, as in pandas. */
function fieldsOf(columns: readonly string[], texts: readonly (string | undefined)[]): TextRow["fields"] {
  const fields: Record<string, string | undefined> = Object.create(null);
  for (const [i, column] of columns.entries()) if (!(column in fields)) fields[column] = texts[i];
  return fields;
}

/**
 * Collects the records of a table; the first nonblank one names the columns. As in pandas, blank lines are ignored and a
 * row may have fewer fields than columns, but not more.
 */
class Table {
  /** Rows not yet taken. */
  rows: TextRow[] = [];
  private columns: readonly string[] | undefined;

  constructor(private readonly separator: string) {}

  add(fields: readonly string[], line: number): void {
    if (fields.length === 1 && fields[0]!.trim() === "") return;
    const texts = fields.map(decoded);
    const isUtf8 = texts.every((text) => text !== undefined);
    if (this.columns === undefined) {
      if (!isUtf8) throw new LineError(line, "the column names are not UTF-8");
      requireSeparator(texts, this.separator, line);
      this.columns = texts;
      return;
    }
    if (fields.length > this.columns.length) {
      const advice = "quote fields that contain the separator";
      const message = `expected ${this.columns.length} fields separated by ${separatorName(this.separator)}, found ${fields.length}: ${advice}`;
      throw new LineError(line, message);
    }
    this.rows.push({ line, fields: isUtf8 ? fieldsOf(this.columns, texts) : undefined });
  }
}

/** Rows of delimiter-separated text whose first row names the columns. */
export async function* delimitedRows(
  bytes: AsyncIterable<Buffer>,
  separator: string,
): AsyncGenerator<TextRow[]> {
  const table = new Table(separator);
  // Records are collected in a callback: emitting them as a stream would cost more than parsing.
  const parser = parse({
    encoding: "latin1",
    delimiter: Buffer.from(separator).toString("latin1"),
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_quotes: true,
    relax_column_count: true,
    max_record_size: MOST_LINE_BYTES,
    on_record: (fields: string[], { lines }) => {
      table.add(fields, lines);
      return undefined;
    },
  });
  // Errors are thrown by the calls below.
  parser.on("error", () => undefined);
  const write = promisify((piece: Buffer, done: (error?: Error | null) => void) => parser.write(piece, done));
  for await (const piece of piecesOf(bytes)) {
    await write(piece);
    if (table.rows.length > 0) yield table.rows.splice(0);
  }
  await finished(parser.end().resume());
  yield table.rows;
}
