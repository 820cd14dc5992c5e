import { join, relative, resolve, sep } from "node:path";
import { invalidArgument } from "../../arguments";
import type { TrainFlags } from "./flags";

const LONGEST_NAME_BYTES = 255;

/** A path strictly inside the folder of runs. */
function checkName(name: string, logs: string): void {
  const parts = relative(resolve(logs), resolve(logs, name)).split(sep);
  const isInside = !name.includes("\0") && parts[0] !== "" && parts[0] !== "..";
  if (isInside && parts.every((part) => Buffer.byteLength(part) <= LONGEST_NAME_BYTES)) return;
  const found = JSON.stringify(name.slice(0, 60));
  throw invalidArgument(`--name must be the name of a folder inside --logs, found ${found}`);
}

/** The folder of a run. @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` */
export function runFolder({ logs, name, resume }: TrainFlags): string {
  if (name === undefined && resume === "latest")
    throw invalidArgument("--resume latest needs the --name of the run");
  if (name !== undefined) checkName(name, logs);
  return join(logs, name ?? new Date().toISOString().slice(0, 19).replaceAll(":", "-"));
}
