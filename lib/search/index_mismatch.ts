import { EvaClipError } from "../errors";
import type { IndexStatement } from "./index_writer";

const modelText = ({ model, fingerprint }: Pick<IndexStatement, "model" | "fingerprint">) =>
  `${model === "" ? "a model" : model} (${fingerprint})`;

/** What differs between an index and a build, in words. */
const DIFFERENCES: Readonly<
  Record<"fingerprint" | "dimensions" | "root", (found: IndexStatement, expected: IndexStatement) => string>
> = {
  fingerprint: (found, expected) => `was embedded by ${modelText(found)}, but this is ${modelText(expected)}`,
  dimensions: (found, expected) =>
    `has vectors of ${found.dimensions} numbers, but these have ${expected.dimensions}`,
  root: (found, expected) => `holds images below ${found.root}, but these are below ${expected.root}`,
};

/**
 * Checks that a build continues an index of the same model and root.
 * @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH`
 */
export function expectStatement(path: string, found: IndexStatement, expected: IndexStatement): void {
  for (const field of ["fingerprint", "dimensions", "root"] as const) {
    if (found[field] === expected[field]) continue;
    const difference = DIFFERENCES[field](found, expected);
    const message = `${path} ${difference}: an index does not mix them; choose another path, or delete it`;
    const details = { path, field, expected: expected[field], found: found[field] };
    throw new EvaClipError("ERR_EVACLIP_INDEX_MISMATCH", message, details);
  }
}
