import { dirname, join, resolve } from "node:path";
import {
  anyFunction,
  checkArgument,
  flag,
  instanceOf,
  invalidArgument,
  oneOf,
  options as optionsOf,
  ownArgument,
  pathText,
  text,
} from "../arguments";
import { EvaClipError } from "../errors";
import type { HostTensor } from "../host_tensor";
import { inTurn } from "../io/in_turn";
import { writeJson } from "../io/json_file";
import { makeFolder } from "../io/make_folder";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors";
import { type ClipConfig, statedConfig } from "../models/clip_config";
import { ClipModel } from "../models/clip_model";
import { preprocessingOf } from "../image/preprocessing";
import type { DerivedTensor } from "../models/image_tower_descriptor";
import { imageTowerOf } from "../models/image_towers";
import type { Parameter } from "../parameter";
import { toHuggingFaceConfig } from "./config/hugging_face_config";
import { PREPROCESSOR_FILE, toPreprocessorConfig } from "./config/hugging_face_preprocessing";
import {
  type Layout,
  type LayoutName,
  type Place,
  placeOf,
  rulesOfModel,
  storedShape,
} from "./layouts/layout";
import { layouts } from "./layouts/all_layouts";
import { toOpenClipConfig } from "./config/open_clip_config";
import { CONFIG_FILE, OPEN_CLIP_CONFIG_FILE } from "./config/config_files";
import { STORED_DTYPES, type WeightDType } from "./weight_dtype";

export interface WriteWeightsOptions {
  /** Default: the layout whose names the model has, such as `eva_clip`, or `openai` for a plain image tower. */
  readonly layout?: LayoutName;
  /** Default each parameter's own. */
  readonly dtype?: WeightDType;
  /** Also write the tables of rotary positions, which EVA-CLIP's own strict loading expects. Default false. */
  readonly ropeTables?: boolean;
  /** Returns a parameter's values, f32 where it has no memory; called for one at a time. Default: reads the parameter. */
  readonly values?: (parameter: Parameter) => Promise<HostTensor>;
}

const writeWeightsOptions = optionsOf({
  layout: text.optional(),
  dtype: oneOf("f32", "bf16", "f16").optional(),
  ropeTables: flag.optional(),
  values: anyFunction.optional(),
});

/** The layout whose names the model's parameters have. */
export function ownLayout({ vision_cfg }: ClipConfig): LayoutName {
  return imageTowerOf(vision_cfg).ownLayout;
}

/** Tensors that strict readers of a layout expect in addition to the parameters, such as rotary tables. */
export function derivedTensors({ vision_cfg }: ClipConfig, layout: LayoutName): readonly DerivedTensor[] {
  return imageTowerOf(vision_cfg).layouts[layout]?.derived?.(vision_cfg) ?? [];
}

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a layout that the model is not written in */
function writableLayout(name: string, { vision_cfg }: ClipConfig): Layout {
  const tower = imageTowerOf(vision_cfg);
  const found = layouts().find((layout) => layout.name === name);
  if (found && tower.layouts[name]?.writable) return found;
  const writable = Object.keys(tower.layouts).filter((layout) => tower.layouts[layout]!.writable);
  throw new EvaClipError(
    "ERR_EVACLIP_INVALID_ARGUMENT",
    `a model with ${tower.title} can be written as ${writable.join(", ")}, not as ${name}`,
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
  const rules = rulesOfModel(layout, model.config);
  return model.parameters().flatMap((parameter) => {
    const place = placeOf(parameter.name, rules);
    if (place === undefined)
      throw invalidArgument(`the layout ${layout.name} has no place for ${parameter.name}`, {
        layout: layout.name,
      });
    const own = parameter.dtype === "bf16" ? "bf16" : "f32";
    const shape = storedShape(parameter.shape, place);
    return place.names.map((name, i) => ({
      name,
      shape,
      dtype: STORED_DTYPES[dtype ?? own],
      from: STORED_DTYPES[own],
      data: async () => storedValues(await values(parameter), place, i),
    }));
  });
}

/** The files to write next to the weights: [file, content]. The preprocessing is always stated, CLIP's as well. */
function configFiles(layout: LayoutName, config: ClipConfig): [string, unknown][] {
  if (layout === "hugging_face") {
    const preprocessing = preprocessingOf(config);
    const written = toPreprocessorConfig(preprocessing, config.vision_cfg.image_size);
    if (written === undefined) {
      const message = `the layout hugging_face cannot state preprocess_cfg.resize_mode ${preprocessing.resize_mode}: write another layout`;
      throw invalidArgument(message, { field: "preprocess_cfg.resize_mode" });
    }
    return [
      [CONFIG_FILE, toHuggingFaceConfig(config)],
      [PREPROCESSOR_FILE, written],
    ];
  }
  const openClip = layout === "open_clip" ? toOpenClipConfig(config) : undefined;
  if (openClip) return [[OPEN_CLIP_CONFIG_FILE, openClip]];
  return [[CONFIG_FILE, statedConfig(config)]];
}

/**
 * Writes a model as safetensors in a layout, reading one tensor from the device at a time, and next to it the configuration
 * that the layout's programs read: config.json, or open_clip_config.json where open_clip has the model. Its preprocessing is
 * stated there, or in preprocessor_config.json.
 *
 * @param path a file that ends in .safetensors, or a folder, in which the file has the layout's usual name
 * @returns the path of each file written
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a layout that cannot hold the model; `ERR_EVACLIP_NOT_FINITE`
 *   naming the tensor and the value that `dtype` cannot hold, such as 70000 in f16; `ERR_EVACLIP_DISK_FULL` or
 *   `ERR_EVACLIP_IO`
 */
export async function writeWeights(
  path: string,
  model: ClipModel,
  given: WriteWeightsOptions = {},
): Promise<readonly string[]> {
  checkArgument("writeWeights: path", path, pathText);
  checkArgument("writeWeights: model", model, instanceOf(ClipModel));
  const options = ownArgument("writeWeights: options", given, writeWeightsOptions);
  const { dtype, ropeTables = false } = options;
  const layout = writableLayout(options.layout ?? ownLayout(model.config), model.config);
  const isFile = path.endsWith(".safetensors");
  const folder = isFile ? dirname(path) : path;
  const weights = isFile ? path : join(folder, layout.modelFile ?? "model.safetensors");
  const write = async () => {
    await makeFolder(folder);
    const beside = configFiles(layout.name, model.config);
    const tensors = tensorsToWrite(model, layout, options);
    if (ropeTables) {
      const tables = derivedTensors(model.config, layout.name);
      tensors.push(
        ...tables.map((table) => ({ ...table, dtype: STORED_DTYPES[dtype ?? "f32"], from: "F32" as const })),
      );
    }
    await writeSafetensors(weights, tensors, { format: "pt" });
    for (const [name, content] of beside) await writeJson(join(folder, name), content);
    return [weights, ...beside.map(([name]) => join(folder, name))];
  };
  // Concurrent writes could leave the weights of one model with the configuration of another.
  return inTurn(resolve(folder), write);
}
