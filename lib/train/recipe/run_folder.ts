import { join } from "node:path";
import type { Json } from "../../data/dataset";
import { EvaClipError } from "../../errors";
import { writeError } from "../../io/file_error";
import { writeJson } from "../../io/json_file";
import { makeFolder } from "../../io/make_folder";
import { exists } from "../../io/model_path";
import type { Initialization } from "../../weights/pretrained";
import type { RecipeOptions } from "./recipe_options";

const PARAMS_FILE = "params.json";
const REPORT_FILE = "initialization.json";
export const METRICS_FILE = "metrics.jsonl";
export const CHECKPOINTS = "checkpoints";
/** The files and folders of a run. */
const TRACES = [PARAMS_FILE, REPORT_FILE, METRICS_FILE, CHECKPOINTS];

/** @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the folder of a new run contains another run */
export async function expectNoRun({ folder, resume }: RecipeOptions): Promise<void> {
  if (folder === undefined || resume !== undefined) return;
  for (const trace of TRACES) {
    if (!(await exists(join(folder, trace)))) continue;
    const message = `there is a run in ${folder} already: continue it with options.resume "latest", or choose another options.folder`;
    throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path: folder });
  }
}

/** Options as JSON; values that are not plain data are replaced by a description. */
function settingsJson(value: unknown): Json {
  return JSON.parse(
    JSON.stringify(value, (_, field: unknown) => {
      if (typeof field === "function") return "a function";
      const isData = typeof field !== "object" || field === null || Array.isArray(field);
      return isData || Object.getPrototypeOf(field) === Object.prototype
        ? field
        : `a ${field.constructor?.name}`;
    }),
  ) as Json;
}

/** Writes the run's settings, as open_clip's params.txt, and where its first weights are from. */
export async function recordRun(
  options: RecipeOptions & { folder: string },
  initialization: Initialization | undefined,
): Promise<void> {
  const { folder, seed = 0, init = "published", signal: _, logger: __, ...settings } = options;
  try {
    await makeFolder(folder);
    await writeJson(join(folder, PARAMS_FILE), settingsJson({ ...settings, folder, seed, init }));
    if (initialization) await writeJson(join(folder, REPORT_FILE), { seed, init, ...initialization });
  } catch (error) {
    throw writeError(folder, error);
  }
}
