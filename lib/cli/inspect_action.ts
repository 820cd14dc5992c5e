import { stat } from "node:fs/promises";
import { join } from "node:path";
import { EvaClipError } from "../errors";
import { ClipModel, modelConfig } from "../index";
import { readJson } from "../io/json_file";
import { openSafetensors } from "../io/safetensors";
import { CONFIG_FILE, findCheckpoint, MODEL_FILE, readTrainerState, STATE_FILE } from "../train/checkpoint";
import { columns, count, printResult } from "./output";

interface Inspection {
  path?: string;
  name?: string;
  step?: number;
  parameters: number;
  imageParameters?: number;
  textParameters?: number;
  tensors: { name: string; dtype: string; shape: readonly number[] }[];
  metadata?: Readonly<Record<string, string>>;
  config?: unknown;
}

/** The tensors of a file. */
async function inspectFile(path: string): Promise<Inspection> {
  await using file = await openSafetensors(path);
  const tensors = [...file.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  return { path, parameters: sizeOf(tensors), tensors, metadata: file.metadata };
}

function sizeOf(tensors: readonly { shape: readonly number[] }[]): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((size, dim) => size * dim, 1), 0);
}

/** A checkpoint: its weights, configuration and step. */
async function inspectFolder(path: string): Promise<Inspection> {
  const folder = await findCheckpoint(path);
  if (folder === undefined) {
    throw new EvaClipError("ERR_EVACLIP_IO", `${path} holds neither ${MODEL_FILE} nor a latest file`, {
      path,
    });
  }
  const has = (file: string) => stat(join(folder, file)).then(Boolean, () => false);
  return {
    ...(await inspectFile(join(folder, MODEL_FILE))),
    ...((await has(STATE_FILE)) && { step: (await readTrainerState(folder)).step }),
    ...((await has(CONFIG_FILE)) && { config: await readJson(join(folder, CONFIG_FILE)) }),
  };
}

/** A published model by its name. */
function inspectModel(name: string): Inspection {
  const config = modelConfig(name);
  const model = new ClipModel(config);
  const tensors = model.parameters().map(({ name: key, shape }) => ({ name: key, dtype: "F32", shape }));
  return {
    name,
    parameters: sizeOf(tensors),
    imageParameters: sizeOf(model.image.parameters()),
    textParameters: sizeOf(model.text.parameters()),
    tensors,
    config,
  };
}

async function inspectAny(target: string): Promise<Inspection> {
  const found = await stat(target).catch(() => undefined);
  if (found?.isDirectory()) return inspectFolder(target);
  return found ? inspectFile(target) : inspectModel(target);
}

function describe(inspection: Inspection): string {
  const { path, name, step, parameters, imageParameters, textParameters, tensors, config, metadata } =
    inspection;
  const facts: [string, unknown][] = [];
  if (path !== undefined) facts.push(["file", path]);
  if (name !== undefined) facts.push(["model", name]);
  if (step !== undefined) facts.push(["step", step]);
  facts.push(["parameters", `${parameters} (${count(parameters)})`]);
  if (imageParameters !== undefined) facts.push(["image tower", count(imageParameters)]);
  if (textParameters !== undefined) facts.push(["text tower", count(textParameters)]);
  for (const [key, value] of Object.entries(metadata ?? {})) facts.push([`metadata ${key}`, value]);
  if (config !== undefined) facts.push(["config", JSON.stringify(config)]);
  const list = tensors.map(({ name: key, dtype, shape }) => [key, `${dtype} [${shape.join(", ")}]`] as const);
  return `${columns(facts)}\n\n${columns(list)}`;
}

export async function inspect(target: string, { json }: { json: boolean }): Promise<void> {
  printResult(await inspectAny(target), json, describe);
}
