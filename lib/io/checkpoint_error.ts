import { EvaClipError } from "../errors";

/** CORRUPT: damaged. UNSAFE: asks for code to be run. UNSUPPORTED: intact, but of a kind that is not read. */
export type CheckpointProblem = "CORRUPT" | "UNSAFE" | "UNSUPPORTED";

/** A damaged file can contain names of any length, and messages quote them. */
const MAX_PROBLEM_LENGTH = 1000;

/** The error for one file; `problem` continues a sentence that begins with the file's path. */
export type Fail = (
  kind: CheckpointProblem,
  problem: string,
  details?: Record<string, unknown>,
) => EvaClipError;

/** ERR_EVACLIP_CHECKPOINT_CORRUPT, _UNSAFE or _UNSUPPORTED, each naming the file at `path`. */
export function failAbout(path: string): Fail {
  return (kind, problem, details = {}) =>
    new EvaClipError(`ERR_EVACLIP_CHECKPOINT_${kind}`, `${path} ${problem.slice(0, MAX_PROBLEM_LENGTH)}`, {
      path,
      ...details,
    });
}

/** ERR_EVACLIP_CHECKPOINT_CORRUPT naming the file at `path`. */
export function corrupt(path: string, problem: string, details?: Record<string, unknown>): EvaClipError {
  return failAbout(path)("CORRUPT", problem, details);
}
