import { readFile } from "node:fs/promises";
import { shortened } from "../arguments";
import { EvaClipError } from "../errors";
import { statModelFile } from "./model_path";
import { replaceFile } from "./replace_file";

/** The content of a JSON file. @throws EvaClipError `ERR_EVACLIP_IO`, or `ERR_EVACLIP_CHECKPOINT_CORRUPT` if it is not JSON */
export async function readJson(path: string): Promise<unknown> {
  await statModelFile(path);
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot read ${path}: ${error.message}`, { path });
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const problem = `${path} is not JSON: ${shortened((error as Error).message)}`;
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", problem, { path });
  }
}

/** Writes a JSON file atomically: a reader sees the old file or the whole new one. @throws EvaClipError as `replaceFile` */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await replaceFile(path, async (file) => file.writeFile(`${JSON.stringify(value, null, 2)}\n`));
}
