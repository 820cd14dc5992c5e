import { readFile } from "node:fs/promises";
import { describeValue, invalidArgument } from "../arguments";
import { decodeUtf8 } from "../data/sources/parse_json";
import {
  EvaClipError,
  OPENAI_IMAGENET_TEMPLATES,
  type PromptTemplates,
  SIMPLE_IMAGENET_TEMPLATES,
} from "../index";
import { readError } from "../io/regular_file";

/** The non-blank lines of the text file (or FIFO, as from `<(…)`) that a flag names. */
export async function linesOf(flag: string, path: string, hint = ""): Promise<string[]> {
  const bytes = await readFile(path).catch((error: unknown) => {
    const { message } = readError(path, error);
    throw new EvaClipError("ERR_EVACLIP_IO", `${flag}: ${message}${hint}`, { path });
  });
  const text = decodeUtf8(bytes);
  if (text === undefined) throw invalidArgument(`${flag}: ${path} is not UTF-8`, { path });
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const found = lines.filter((line) => line !== "");
  if (found.length === 0) throw invalidArgument(`${flag}: ${path} contains no line of text`, { path });
  return found;
}

/** The prompt templates that `--templates` names, or those in its file. */
export async function templatesFrom(source: string): Promise<PromptTemplates> {
  if (source === "openai") return OPENAI_IMAGENET_TEMPLATES;
  if (source === "simple") return SIMPLE_IMAGENET_TEMPLATES;
  const templates = await linesOf("--templates", source, "; openai and simple are built in");
  const wrong = templates.find((template) => !template.includes("{}"));
  if (wrong === undefined) return templates;
  const message = `--templates: a template needs {} where the class name goes, found ${describeValue(wrong)} in ${source}`;
  throw invalidArgument(message, { path: source });
}
