// Conditions on entries: the text of a user becomes SQL token by token, so that nothing but an expression can come of it.
import { invalidArgument, shortened } from "../../arguments";
import type { EvaClipError } from "../../errors";
import { suggestionFor } from "../../suggestion";
import type { SqlValue } from "./database_process";

/** A condition over a row `e` of entries, and the values that it binds. */
export interface Condition {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

const LONGEST = 10_000;

const COLUMNS = ["id", "source", "caption"];

const KEYWORDS = new Set([
  ...["AND", "OR", "NOT", "IS", "NULL", "ISNULL", "NOTNULL", "LIKE", "GLOB", "ESCAPE", "IN", "BETWEEN"],
  ...["CASE", "WHEN", "THEN", "ELSE", "END", "TRUE", "FALSE"],
]);

/** Functions of one row, whose result is not longer than their arguments. */
const FUNCTIONS = [
  ...["abs", "round", "min", "max", "length", "lower", "upper", "trim", "ltrim", "rtrim", "substr", "instr"],
  ...["coalesce", "ifnull", "nullif", "iif", "typeof", "date", "time", "datetime", "julianday", "unixepoch"],
];

const TOKEN = new RegExp(
  [
    /(?<space>\s+)/,
    /(?<text>'(?:[^']|'')*')/,
    /(?<quoted>"(?:[^"]|"")*")/,
    /(?<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))/,
    /(?<name>[\p{L}_][\p{L}\p{M}\p{N}_$]*)/u,
    /(?<operator><=|>=|<>|!=|==|\|\||[=<>+\-*/%(),])/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "uy",
);

type Token = Partial<Record<"space" | "text" | "quoted" | "number" | "name" | "operator", string>>;

function* tokensOf(where: string): Generator<Token> {
  const tokens = new RegExp(TOKEN);
  while (tokens.lastIndex < where.length) {
    const at = tokens.lastIndex;
    const { groups } = tokens.exec(where) ?? {};
    if (!groups) throw unexpected(where, where.slice(at).split(/\s/, 1)[0]!, at);
    // `--` begins a comment in SQL.
    if (groups.operator === "-" && where[at + 1] === "-") throw unexpected(where, "--", at);
    if (groups.space === undefined) yield groups;
  }
}

function failure(where: string, problem: string): EvaClipError {
  const details = { field: "where", where: shortened(where, 200) };
  return invalidArgument(`the condition ${JSON.stringify(shortened(where, 200))} ${problem}`, details);
}

function unexpected(where: string, found: string, at: number): EvaClipError {
  const found_ = JSON.stringify(shortened(found));
  const what = "it is one expression of fields, numbers, 'text', operators and functions";
  return failure(where, `has ${found_} at character ${at + 1}; ${what}`);
}

/** The error for a condition that SQLite cannot evaluate. */
export function conditionError(where: string, { details, message }: EvaClipError): EvaClipError {
  return failure(where, `cannot be evaluated: ${details?.problem ?? message}`);
}

/**
 * The SQL of a condition over entries.
 * @param fields the names of the metadata of the index
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming what is not known, and what is
 */
export function readCondition(where: string, fields: readonly string[]): Condition {
  if (where.length > LONGEST)
    throw failure(where, `has ${where.length} characters, at most ${LONGEST} are read`);
  const tokens = [...tokensOf(where)];
  const [parts, values]: [string[], SqlValue[]] = [[], []];
  const bind = (sql: string, value: SqlValue) => {
    parts.push(sql);
    values.push(value);
  };
  let depth = 0;
  for (const [i, { text, quoted, number, name, operator }] of tokens.entries()) {
    if (text !== undefined) bind("?", text.slice(1, -1).replaceAll("''", "'"));
    else if (number !== undefined) bind("?", numberOf(number));
    else if (operator !== undefined) {
      depth += operator === "(" ? 1 : operator === ")" ? -1 : 0;
      if (depth < 0) throw failure(where, "closes a parenthesis that is not open");
      parts.push(operator);
    } else if (name !== undefined && KEYWORDS.has(name.toUpperCase())) parts.push(name);
    else if (name !== undefined && tokens[i + 1]?.operator === "(") parts.push(functionOf(where, name));
    else {
      const field = name ?? quoted!.slice(1, -1).replaceAll('""', '"');
      if (fields.includes(field) && !COLUMNS.includes(field))
        bind("json_extract(e.metadata, ?)", pathOf(where, field));
      else parts.push(columnOf(where, field, fields, quoted !== undefined));
    }
  }
  if (depth > 0) throw failure(where, "has an open parenthesis");
  return { sql: `(${parts.join(" ")})`, values };
}

/** Integers are bound as such: SQLite's `/` and `%` depend on the type. */
function numberOf(text: string): SqlValue {
  return /^\d{1,18}$/.test(text) ? BigInt(text) : Number(text);
}

function functionOf(where: string, name: string): string {
  if (FUNCTIONS.includes(name.toLowerCase())) return name;
  throw failure(where, `calls ${shortened(name)}; the functions are ${FUNCTIONS.join(", ")}`);
}

/** The place of a field in JSON, which has no way to write these characters. */
function pathOf(where: string, field: string): string {
  if (!/["\\\p{Cc}]/u.test(field)) return `$."${field}"`;
  throw failure(where, `names the field ${JSON.stringify(shortened(field))}, whose name cannot be searched`);
}

function columnOf(where: string, name: string, fields: readonly string[], isQuoted: boolean): string {
  const column = COLUMNS.find((known) => known === name.toLowerCase());
  if (column !== undefined) return `e.${column}`;
  const known = [...new Set([...COLUMNS, ...fields])];
  const meant = suggestionFor(name, known);
  const advice = meant === undefined ? "" : ` (did you mean ${meant}?)`;
  const text = isQuoted ? `; text is written in single quotes: '${shortened(name)}'` : "";
  const listed = shortened(known.join(", "), 500);
  throw failure(where, `names the field ${shortened(name)}${advice}; the fields are ${listed}${text}`);
}
