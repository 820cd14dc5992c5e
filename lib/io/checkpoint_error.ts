import { EvaClipError } from "../errors";

/** CORRUPT: damaged. UNSAFE: asks for something to be run. UNSUPPORTED: sound, but of a kind that is not read. */
export type CheckpointProblem = "CORRUPT" | "UNSAFE" | "UNSUPPORTED";

/** A damaged file can hold names of any length, and messages quote them. */
const LONGEST_PROBLEM = 1000;

/** Makes the error for one file; `problem` continues a sentence that begins with the file's path. */
export type Fail = (
  kind: CheckpointProblem,
  problem: string,
  details?: Record<string, unknown>,
) => EvaClipError;

/** ERR_EVACLIP_CHECKPOINT_CORRUPT, _UNSAFE or _UNSUPPORTED, each naming the file at `path`. */
export function failAbout(path: string): Fail {
  return (kind, problem, details = {}) =>
    new EvaClipError(`ERR_EVACLIP_CHECKPOINT_${kind}`, `${path} ${problem.slice(0, LONGEST_PROBLEM)}`, {
      path,
      ...details,
    });
}
