import type { LoadReport } from "../checkpoints/load_report";
import type { ConfigSource } from "../checkpoints/resolve_config";
import type { Tokenizer } from "../data/tokenizer";
import type { Device } from "../device";
import type { ClipConfig } from "../models/clip_config";
import { ClipModel, type ClipModelOptions } from "../models/clip_model";
import { initializeModel } from "../train/initialize";
import {
  type CreateOptions,
  checkModelType,
  type LoadOptions,
  type ModelType,
  type OpenOptions,
  openDevice,
} from "./eva_clip_options";
import { configOf, ModelFile } from "./model_files";

/** How an EvaClip holds its model. */
export interface WrapOptions {
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
  /** What `dispose` frees. Default nothing. */
  readonly owns?: "nothing" | "model" | "model and device";
  readonly loadReport?: LoadReport;
}

/** A model on a device, and who frees them. */
export interface OpenedModel extends WrapOptions {
  readonly model: ClipModel;
  readonly device: Device;
}

/** Makes a model whose parameters `fill` gives memory and values; what was taken is freed when it fails. */
async function open(
  config: ClipConfig,
  options: OpenOptions & Pick<ClipModelOptions, "init">,
  fill: (model: ClipModel, device: Device, dtype: ModelType) => Promise<Pick<OpenedModel, "loadReport">>,
): Promise<OpenedModel> {
  const { dtype = "f32", tokenizer, init } = options;
  checkModelType(dtype);
  const model = new ClipModel(config, { type: dtype, ...(init && { init }) });
  const { device, owned } = await openDevice(options);
  try {
    const filled = await fill(model, device, dtype);
    const owns = owned ? "model and device" : "model";
    return { model, device, owns, ...filled, ...(tokenizer && { tokenizer }) };
  } catch (error) {
    for (const parameter of model.parameters()) parameter.dispose();
    if (owned) await device.dispose();
    throw error;
  }
}

/** A model with initial weights. */
export async function createModel(config: ConfigSource, options: CreateOptions): Promise<OpenedModel> {
  const { seed = 0 } = options;
  return open(configOf(config), options, async (model, device, dtype) => {
    await initializeModel(model, device, { dtype, seed });
    return {};
  });
}

/** A model with the weights of a file. */
export async function loadModel(path: string, options: LoadOptions): Promise<OpenedModel> {
  const { signal } = options;
  signal?.throwIfAborted();
  await using file = await ModelFile.open(path, options);
  return await open(file.config, options, async (model, device, dtype) => ({
    loadReport: await file.fill(model, device, { dtype, signal }),
  }));
}
