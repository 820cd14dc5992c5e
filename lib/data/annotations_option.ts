import { oneOf } from "../arguments";
import type { Metadata } from "./dataset";

/** Schema of the option `annotations` of data sets. */
export const annotationsOption = oneOf("captions", "all").optional();

/** The fields that are text, numbers, booleans or null, without those named `used`. */
export function metadataIn(fields: Readonly<Record<string, unknown>>, used: readonly string[]): Metadata {
  const isPlain = (value: unknown) =>
    value === null || ["string", "number", "boolean"].includes(typeof value);
  const plain = Object.entries(fields).filter(([name, value]) => isPlain(value) && !used.includes(name));
  return Object.fromEntries(plain) as Metadata;
}

/** Text that is a number as JavaScript prints it, as that number: a table's columns are text. */
export function withNumbers(metadata: Metadata): Metadata {
  const numeric = (value: Metadata[string]) =>
    typeof value === "string" &&
    value !== "" &&
    String(Number(value)) === value &&
    Number.isFinite(Number(value))
      ? Number(value)
      : value;
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, numeric(value)]));
}
