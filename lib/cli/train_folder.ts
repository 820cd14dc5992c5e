import { join, relative, resolve, sep } from "node:path";
import { EvaClipError } from "../index";
import { exists } from "../io/model_path";
import type { TrainFlags } from "./train_command";

export const PARAMS_FILE = "params.json";
export const REPORT_FILE = "initialization.json";
export const METRICS_FILE = "metrics.jsonl";
export const CHECKPOINTS = "checkpoints";
/** What a run leaves in its folder. */
const TRACES = [PARAMS_FILE, REPORT_FILE, METRICS_FILE, CHECKPOINTS];

const LONGEST_NAME_BYTES = 255;

function usageError(message: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message);
}

/** A path strictly inside the folder of runs. */
function checkName(name: string, logs: string): void {
  const parts = relative(resolve(logs), resolve(logs, name)).split(sep);
  const isInside = !name.includes("\0") && parts[0] !== "" && parts[0] !== "..";
  if (isInside && parts.every((part) => Buffer.byteLength(part) <= LONGEST_NAME_BYTES)) return;
  throw usageError(
    `--name must be the name of a folder inside of --logs, found ${JSON.stringify(name.slice(0, 60))}`,
  );
}

/**
 * The folder of a run, which a new one does not share with another.
 * @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS`, `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export async function runFolder({ logs, name, resume }: TrainFlags): Promise<string> {
  if (name === undefined && resume === "latest")
    throw usageError("--resume latest needs the --name of the run");
  if (name !== undefined) checkName(name, logs);
  const folder = join(logs, name ?? new Date().toISOString().slice(0, 19).replaceAll(":", "-"));
  if (resume !== undefined) return folder;
  for (const trace of TRACES) {
    if (!(await exists(join(folder, trace)))) continue;
    const message = `there is a run in ${folder} already: go on with it by --resume latest, or choose another --name`;
    throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path: folder });
  }
  return folder;
}
