import { EvaClipError } from "../errors";

const SHOWN_NAMES = 5;

function shown(names: readonly string[]): string {
  const list = names.slice(0, SHOWN_NAMES).join(", ");
  return names.length > SHOWN_NAMES ? `${list} and ${names.length - SHOWN_NAMES} more` : list;
}

/** The differences between the tensors of a file and the parameters of a model. */
export class Mismatch {
  readonly missing: string[] = [];
  readonly unexpected: string[] = [];
  readonly misshapen: string[] = [];
  readonly notFloat: string[] = [];

  addShape(name: string, expected: readonly number[], found: readonly number[]): void {
    this.misshapen.push(`${name} (expected [${expected.join(", ")}], found [${found.join(", ")}])`);
  }

  /** @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming every difference, if there is any */
  check(path: string): void {
    const { missing, unexpected, misshapen, notFloat } = this;
    const kinds: [string, readonly string[]][] = [
      ["missing", missing],
      ["unexpected", unexpected],
      ["shape mismatch", misshapen],
      ["not floating-point", notFloat],
    ];
    const problems = kinds.filter(([, names]) => names.length > 0);
    if (problems.length === 0) return;
    const text = problems.map(([kind, names]) => `${kind} ${shown(names)}`).join("; ");
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", `${path} does not match the model: ${text}`, {
      path,
      missing,
      unexpected,
      misshapen,
      notFloat,
    });
  }
}
