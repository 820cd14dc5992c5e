import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import { inTurns } from "../../image/turns";
import { HttpError } from "../http_error";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Longer strings are decoded one by one, so that `JSON.parse` sees a short text however large the body is. */
const MOST_INLINE = 64;
/** JSON.parse takes a few milliseconds for this much, whatever it is made of. */
const MOST_STRUCTURE = 2 ** 18;
const DEEPEST = 32;
const BYTES_PER_SLICE = 2 ** 18;

/** Stands for a long string; its beginning cannot be guessed, so no client can write one. */
const STAND_IN = `${randomUUID()}:`;

function notJson(problem: string): HttpError {
  return new HttpError(400, `the body is not JSON: ${problem}`, { code: "invalid_json" });
}

/** The text of a JSON document without its long strings, and where those are, quotes included. */
interface Outline {
  readonly text: string;
  readonly strings: readonly (readonly [begin: number, end: number])[];
}

function isEscaped(bytes: Buffer, quote: number): boolean {
  let before = quote;
  while (bytes[before - 1] === BACKSLASH) before--;
  return (quote - before) % 2 === 1;
}

async function outlineOf(bytes: Buffer): Promise<Outline> {
  const parts: string[] = [];
  const strings: [number, number][] = [];
  let lifted = 0;
  let copied = 0;
  let opening = -1;
  await inTurns(bytes.length, BYTES_PER_SLICE, (begin, end) => {
    const slice = bytes.subarray(0, end);
    for (let at = slice.indexOf(QUOTE, begin); at >= 0; at = slice.indexOf(QUOTE, at + 1)) {
      if (opening < 0) {
        opening = at;
      } else if (!isEscaped(bytes, at)) {
        if (at - opening > MOST_INLINE) {
          parts.push(bytes.toString("utf8", copied, opening), `"${STAND_IN}${strings.length}"`);
          strings.push([opening, at + 1]);
          lifted += at - opening;
          copied = at + 1;
        }
        opening = -1;
      }
      if (at - lifted > MOST_STRUCTURE && opening < 0) throw tooMuchStructure();
    }
  });
  if (opening < 0 && bytes.length - lifted > MOST_STRUCTURE) throw tooMuchStructure();
  parts.push(bytes.toString("utf8", copied, Math.min(bytes.length, copied + 2 * MOST_STRUCTURE)));
  return { text: parts.join(""), strings };
}

function tooMuchStructure(): HttpError {
  const message = `a JSON body may have ${MOST_STRUCTURE} bytes beside its strings of more than ${MOST_INLINE} characters`;
  return new HttpError(413, message, { code: "body_too_large" });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notJson((error as Error).message);
  }
}

/** Calls `found` for each string that is a stand-in, with where it is. */
function visit(value: unknown, depth: number, found: (holder: object, key: string, index: number) => void) {
  if (typeof value !== "object" || value === null) return;
  if (depth > DEEPEST) throw notJson(`it is nested more than ${DEEPEST} deep`);
  for (const key of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[key];
    if (typeof inner !== "string") visit(inner, depth + 1, found);
    else if (inner.startsWith(STAND_IN)) found(value, key, Number(inner.slice(STAND_IN.length)));
  }
}

/** The value of a string literal. Without escapes it needs no parser, which is slow for an image in base64. */
function stringAt(bytes: Buffer, [begin, end]: readonly [number, number]): unknown {
  const literal = bytes.subarray(begin, end);
  return literal.includes(BACKSLASH)
    ? parsed(literal.toString("utf8"))
    : literal.toString("utf8", 1, literal.length - 1);
}

/**
 * The value of a JSON text. The event loop turns between long strings, so that images in base64 do not block it.
 * @throws HttpError 400 for what is not JSON, 413 for very many elements
 */
export async function parseJson(body: Uint8Array): Promise<unknown> {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (!isUtf8(bytes)) throw notJson("it is not UTF-8");
  const { text, strings } = await outlineOf(bytes);
  const root = { value: parsed(text) };
  const places: [holder: object, key: string, index: number][] = [];
  visit(root, 0, (...place) => places.push(place));
  await inTurns(places.length, 1, (i) => {
    const [holder, key, index] = places[i]!;
    // Set as JSON.parse sets it, even for the key __proto__.
    const value = stringAt(bytes, strings[index]!);
    Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
  });
  return root.value;
}
