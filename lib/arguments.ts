// Argument checks of public functions: a schema per argument, one error code, one style of message.
import { types } from "node:util";
import { z } from "zod";
import { EvaClipError } from "./errors";
import { suggestionFor } from "./suggestion";

/** The error for an invalid argument. */
export function invalidArgument(message: string, details?: Record<string, unknown>): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, details);
}

const MOST_LETTERS = 60;

/** Text for a message: a long input is truncated. */
export function shortened(text: string, most = MOST_LETTERS): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
}

/** A short description of a value: `"3"`, `Float32Array of 5`, `a function`. */
export function describeValue(value: unknown): string {
  try {
    return describe(value);
  } catch {
    return "an unreadable object";
  }
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(shortened(value));
  if (typeof value === "bigint") return shortened(`${value}n`);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value !== "object" || value === null) return shortened(String(value));
  const name = shortened(String(Object.getPrototypeOf(value)?.constructor?.name ?? "Object"));
  if (ArrayBuffer.isView(value) && "length" in value) return `${name} of ${value.length}`;
  return name === "Object" ? "an object" : `an object of class ${name}`;
}

/** Schemas of common arguments; each message completes "NAME must be …". */
export const wholeNumber = z.int({ error: "an integer of at least 0" }).min(0);
export const positiveInteger = z.int({ error: "an integer of at least 1" }).min(1);
/** Finite as f32, since the core computes in f32. */
export const finiteNumber = z
  .number({ error: "a finite number" })
  .refine((value) => Number.isFinite(Math.fround(value)), { error: "a number that f32 can hold" });
export const share = z.number({ error: "a number from 0 to 1" }).min(0).max(1);
export const flag = z.boolean({ error: "true or false" });
export const text = z.string({ error: "a string" });
export const pathText = z
  .string({ error: "a path" })
  .min(1)
  .refine((path) => !path.includes("\0"), { error: "a path without null characters" });
/** A callable function; classes are rejected. */
export const anyFunction = z.custom<(...given: never[]) => unknown>(
  (value) => typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value)),
  { error: "a function" },
);
/** Duck-typed, so that signals from another realm or a polyfill are accepted. */
export const abortSignal = z.custom<AbortSignal>(
  (value) =>
    typeof (value as AbortSignal | null)?.aborted === "boolean" &&
    typeof (value as AbortSignal).addEventListener === "function" &&
    typeof (value as AbortSignal).removeEventListener === "function",
  { error: "an AbortSignal" },
);

export function oneOf<const T extends string>(...values: readonly T[]) {
  return z.enum(values, { error: `one of ${values.join(", ")}` });
}

export function instanceOf<T>(kind: abstract new (...given: never[]) => T, name: string = kind.name) {
  // A Proxy passes instanceof but has no private fields.
  return z.custom<T>((value) => value instanceof kind && !types.isProxy(value), {
    error: `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`,
  });
}

/** A list whose elements match `element`; `what` describes the list in messages. */
export function listOf<T extends z.ZodType>(element: T, what: string) {
  return z.array(element, { error: what });
}

/** An object of options; an unknown field is an error that suggests the closest known one. */
export function options<T extends z.ZodRawShape>(fields: T) {
  return z.strictObject(fields, {
    error: (issue) => (issue.code === "unrecognized_keys" ? undefined : "an object"),
  });
}

/** Maximum list length: checking the elements blocks the event loop, and `new Array(2 ** 32 - 1)` would never finish. */
const MOST_ELEMENTS = 1_000_000;

/** Maximum nesting of options, which also ends the walk of a cyclic object. */
const DEEPEST_OPTION = 4;

/**
 * Checks the length of every list in `value` before anything iterates over it.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a list that is too long
 */
export function checkLengths(name: string, value: unknown, depth = 0): void {
  if (Array.isArray(value)) {
    if (value.length <= MOST_ELEMENTS) return;
    const message = `${name} must be a list of length at most ${MOST_ELEMENTS}, found ${describeValue(value)}`;
    throw invalidArgument(message, { field: name });
  }
  if (depth === DEEPEST_OPTION || !isPlain(value)) return;
  for (const key of Object.keys(value)) checkLengths(`${name}.${key}`, value[key], depth + 1);
}

/** Whether `value` is a plain object, from any realm. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Runs `read`, which accesses a value from the caller, whose getters or Proxy may throw anything.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` in place of any error that is not an EvaClipError
 */
export function reading<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof EvaClipError) throw error;
    const message = `${name} cannot be read: ${shortened(reasonOf(error))}`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { field: name }, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  try {
    return String((error as Error | undefined)?.message);
  } catch {
    return "it throws an unreadable error";
  }
}

/**
 * Checks one argument of a public function.
 * @param name its name in messages, such as `encodeText: texts`
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` with the argument or option, the expected and the found value
 */
export function checkArgument<T extends z.ZodType>(
  name: string,
  value: unknown,
  schema: T,
): asserts value is z.input<T> {
  ownArgument(name, value, schema);
}

/**
 * Like `checkArgument`, for values used after the call or read more than once: returns a copy of the checked value. Lists
 * and objects that the schema describes are copied; other values in them, such as a typed array or a model, are shared.
 */
export function ownArgument<V>(name: string, value: V, schema: z.ZodType): V {
  return reading(name, () => readArgument(name, value, schema) as V);
}

function readArgument(name: string, value: unknown, schema: z.ZodType): unknown {
  checkLengths(name, value);
  requireFields(name, value, schema, []);
  for (const key of fieldsAt(schema, [])) {
    const field = (value as Record<string, unknown> | null | undefined)?.[key];
    requireFields(`${name}.${key}`, field, schema, [key]);
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  // Only invalid values are parsed again with reportInput, which is about a hundred times as slow.
  const { error, data } = schema.safeParse(value, { reportInput: true });
  if (error) throw argumentError(name, error.issues[0]!, schema);
  return data;
}

/**
 * Rejects a Map, Promise, Date, typed array, … in place of an object with fields; the schema would accept it as an empty
 * object. Null and arrays are left to the schema.
 */
function requireFields(name: string, value: unknown, schema: z.ZodType, path: readonly PropertyKey[]): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  if (fieldsAt(schema, path).length === 0) return;
  // An object that only inherits from a typed array's prototype has the tag of a plain object.
  const tag = "BYTES_PER_ELEMENT" in value ? "" : Object.prototype.toString.call(value);
  if (tag === "[object Object]" || tag === "[object Module]") return;
  throw invalidArgument(`${name} must be an object, found ${describeValue(value)}`, { field: name });
}

/** The error for an issue that a schema found in the argument `name`. */
export function argumentError(name: string, issue: z.core.$ZodIssue, schema: z.ZodType): EvaClipError {
  const place = issue.path.reduce<string>(
    (outer, key) => (typeof key === "number" ? `${outer}[${key}]` : `${outer}.${String(key)}`),
    name,
  );
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys[0]!;
    const meant = suggestionFor(unknown, fieldsAt(schema, issue.path));
    const advice = meant === undefined ? "" : `; did you mean ${meant}?`;
    return invalidArgument(`${place} has no field ${describeValue(unknown)}${advice}`, { field: unknown });
  }
  const found = describeValue(issue.input);
  return invalidArgument(`${place} must be ${expectation(issue)}, found ${found}`, { field: place, found });
}

/** "an integer of at least 1": from the bounds of the schema, or its own message. */
function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small") {
    return `${unitOf(issue.origin)}${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}`;
  }
  if (issue.code === "too_big") {
    return `${unitOf(issue.origin)}${issue.inclusive === false ? "less than" : "at most"} ${issue.maximum}`;
  }
  return issue.message;
}

function unitOf(origin: string): string {
  if (origin === "array") return "a list of length ";
  return origin === "string" ? "a string of length " : "";
}

/** The field names of the object at `path` in a schema. */
function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let inner: unknown = schema;
  for (const key of [undefined, ...path]) {
    if (key !== undefined) inner = (inner as { shape?: Record<PropertyKey, unknown> }).shape?.[key];
    while (inner instanceof z.ZodOptional) inner = inner.unwrap();
  }
  return Object.keys((inner as { shape?: object } | undefined)?.shape ?? {});
}
