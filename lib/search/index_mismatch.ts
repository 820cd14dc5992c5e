import { EvaClipError } from "../errors";
import type { IndexStatement } from "./index_writer";

const modelText = ({ model, fingerprint }: Pick<IndexStatement, "model" | "fingerprint">) =>
  `${model === "" ? "a model" : model} (${fingerprint})`;

/** The error for a build that would continue an index of another model or of another folder. */
export function indexMismatch(
  path: string,
  field: "fingerprint" | "dimensions" | "root",
  found: IndexStatement,
  expected: IndexStatement,
): EvaClipError {
  const [theirs, ours] =
    field === "root"
      ? [`holds images below ${found.root}`, `these are below ${expected.root}`]
      : [`was embedded by ${modelText(found)}`, `this is ${modelText(expected)}`];
  const message = `${path} ${theirs}, but ${ours}: an index does not mix them; choose another path, or delete it`;
  return new EvaClipError("ERR_EVACLIP_INDEX_MISMATCH", message, {
    path,
    field,
    expected: found[field],
    actual: expected[field],
  });
}
