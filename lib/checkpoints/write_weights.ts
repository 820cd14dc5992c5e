import { dirname, join } from "node:path";
import { EvaClipError } from "../errors";
import type { HostTensor } from "../host_tensor";
import { writeError } from "../io/file_error";
import { writeJson } from "../io/json_file";
import { makeFolder } from "../io/make_folder";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors";
import { type ClipConfig, isEva } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import type { Parameter } from "../parameter";
import { toHuggingFaceConfig } from "./hugging_face_config";
import { type Layout, type LayoutName, namingOf, type Place, placeOf, storedShape } from "./layout";
import { layouts } from "./layouts/all_layouts";
import { toOpenClipConfig } from "./open_clip_config";
import { CONFIG_FILE, OPEN_CLIP_CONFIG_FILE } from "./resolve_config";
import { ropeBuffers } from "./rope_buffers";
import { STORED_TYPES, type WeightType } from "./weight_type";

export interface WriteWeightsOptions {
  /** Default the layout whose names the model has: `eva_clip`, or `openai` for a plain image tower. */
  readonly layout?: LayoutName;
  /** Default each parameter's own. */
  readonly dtype?: WeightType;
  /** Write the tables of rotary positions as well, which EVA-CLIP's own strict loading expects. Default false. */
  readonly ropeTables?: boolean;
  /** Gives a parameter's values, in f32 where it has no memory; called when their turn comes. Default its memory's. */
  readonly values?: (parameter: Parameter) => Promise<HostTensor>;
}

/** Which image towers a layout can be written with; those left out hold no text tower. */
const WRITABLE: Partial<Record<LayoutName, readonly ("eva" | "clip")[]>> = {
  eva_clip: ["eva"],
  open_clip: ["eva", "clip"],
  openai: ["clip"],
  hugging_face: ["clip"],
};

/** The names under which the programs of each layout look for a folder's weights. */
const MODEL_FILES: Partial<Record<LayoutName, string>> = { open_clip: "open_clip_model.safetensors" };

/** The layout whose names the model's parameters have. */
export function ownLayout(config: ClipConfig): LayoutName {
  return isEva(config) ? "eva_clip" : "openai";
}

function writableLayout(name: string, config: ClipConfig): Layout {
  const found = layouts.find((layout) => layout.name === name);
  const image = isEva(config) ? "eva" : "clip";
  if (found && WRITABLE[found.name]?.includes(image)) return found;
  const possible = Object.entries(WRITABLE).filter(([, images]) => images.includes(image));
  const names = possible.map(([layout]) => layout).join(", ");
  throw new EvaClipError(
    "ERR_EVACLIP_INVALID_ARGUMENT",
    `a model with ${image === "eva" ? "an EVA" : "a plain"} image tower can be written as ${names}, not as ${name}`,
    { layout: name },
  );
}

/** Part `index` of a parameter's rows, as the layout arranges them. */
function storedValues(
  { data, shape }: HostTensor,
  { names, transpose }: Place,
  index: number,
): Float32Array | Uint16Array {
  const whole = data as Float32Array | Uint16Array;
  const share = whole.length / names.length;
  const part = whole.subarray(index * share, (index + 1) * share);
  return transpose ? transposed(part, shape[1]!) : part;
}

function transposed<T extends Float32Array | Uint16Array>(values: T, columns: number): T {
  const rows = values.length / columns;
  const result = values.slice() as T;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c]!;
  }
  return result;
}

function tensorsToWrite(model: ClipModel, layout: Layout, options: WriteWeightsOptions): TensorToWrite[] {
  const { dtype, values = (parameter: Parameter) => parameter.read() } = options;
  const rules = layout.rules(namingOf(model.config));
  return model.parameters().flatMap((parameter) => {
    const place = placeOf(parameter.name, rules)!;
    const own = parameter.dtype === "bf16" ? "bf16" : "f32";
    const shape = storedShape(parameter.shape, place);
    return place.names.map((name, i) => ({
      name,
      shape,
      dtype: STORED_TYPES[dtype ?? own],
      from: STORED_TYPES[own],
      data: async () => storedValues(await values(parameter), place, i),
    }));
  });
}

/** The configuration that goes beside the weights: [file, content]. */
function configFile(layout: LayoutName, config: ClipConfig): [string, unknown] {
  if (layout === "hugging_face") return [CONFIG_FILE, toHuggingFaceConfig(config)];
  const openClip = layout === "open_clip" ? toOpenClipConfig(config) : undefined;
  return openClip ? [OPEN_CLIP_CONFIG_FILE, openClip] : [CONFIG_FILE, config];
}

/**
 * Writes a model as safetensors in a layout, its tensors read from the device one at a time, with the configuration that
 * the layout's programs look for beside it: config.json, or open_clip_config.json where open_clip has the model.
 *
 * @param path a file that ends in .safetensors, or a folder, in which the file gets its usual name
 * @returns the path of each file written
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a layout that cannot hold the model; `ERR_EVACLIP_DISK_FULL` or
 *   `ERR_EVACLIP_IO`
 */
export async function writeWeights(
  path: string,
  model: ClipModel,
  options: WriteWeightsOptions = {},
): Promise<readonly string[]> {
  const { dtype, ropeTables = false } = options;
  const layout = writableLayout(options.layout ?? ownLayout(model.config), model.config);
  const isFile = path.endsWith(".safetensors");
  const folder = isFile ? dirname(path) : path;
  const weights = isFile ? path : join(folder, MODEL_FILES[layout.name] ?? "model.safetensors");
  await makeFolder(folder).catch((error: unknown) => {
    throw writeError(folder, error);
  });
  const tensors = tensorsToWrite(model, layout, options);
  if (ropeTables && layout.name === "eva_clip") tensors.push(...ropeBuffers(model.config, dtype ?? "f32"));
  await writeSafetensors(weights, tensors, { format: "pt" });
  const [name, content] = configFile(layout.name, model.config);
  await writeJson(join(folder, name), content);
  return [weights, join(folder, name)];
}
