import { z } from "zod";
import { abortable, throwIfAborted } from "../abortable";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  oneOf,
  options,
  ownArgument,
  pathText,
  positiveInteger,
} from "../arguments";
import { configSource, statementFields } from "../weights/config/config_argument";
import type { LoadReport } from "../weights/load_report";
import type { ConfigSource } from "../weights/config/resolve_config";
import type { Tokenizer } from "../text/tokenizer";
import { type Device, deviceOrChoice } from "../device";
import type { ClipConfig } from "../models/clip_config";
import { ClipModel, type ClipModelOptions } from "../models/clip_model";
import { loggerArgument } from "../logger";
import { type Precision, precisionArgument } from "../models/precision";
import { checkTokenizer } from "../models/stated_tokenizer";
import { initializeModel } from "../weights/initialize";
import { weightsFields } from "../weights/open_weights";
import { type CreateOptions, type LoadOptions, type OpenOptions, openDevice } from "./eva_clip_options";
import { configOf, ModelFile } from "./model_files";

const tokenizerLike = z.custom<Tokenizer>(
  (value) =>
    typeof (value as Tokenizer | null)?.encode === "function" &&
    Number.isInteger((value as Tokenizer).vocabularySize),
  { error: "a tokenizer, with encode and vocabularySize" },
);

/** Options for wrapping an existing model in an `EvaClip`. */
export interface WrapOptions {
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
  /** The objects that `dispose` frees. Default none. */
  readonly owns?: { readonly model?: boolean; readonly device?: boolean };
  readonly loadReport?: LoadReport;
}

/** A model on a device, and which of the two `dispose` frees. */
export interface OpenedModel extends WrapOptions {
  readonly model: ClipModel;
  readonly device: Device;
}

/** Makes a model whose parameters `fill` allocates and sets; on failure, and when it is aborted, everything is freed. */
async function open(
  config: ClipConfig,
  where: string,
  given: OpenOptions & Pick<ClipModelOptions, "init">,
  fill: (model: ClipModel, device: Device, precision: Precision) => Promise<Pick<OpenedModel, "loadReport">>,
): Promise<OpenedModel> {
  const { precision = "f32", tokenizer, init } = given;
  if (!tokenizer) checkTokenizer(config, where);
  const model = new ClipModel(config, { precision, ...(init && { init }) });
  const { device, owned } = await openDevice(given);
  try {
    throwIfAborted(given.signal);
    const filled = await fill(model, device, precision);
    throwIfAborted(given.signal);
    const owns = { model: true, device: owned };
    return { model, device, owns, ...filled, ...(tokenizer && { tokenizer }) };
  } catch (error) {
    model.dispose();
    if (owned) await device.dispose();
    throw error;
  }
}

const openOptions = {
  device: deviceOrChoice.optional(),
  threads: positiveInteger.optional(),
  precision: precisionArgument.optional(),
  tokenizer: tokenizerLike.optional(),
  logger: loggerArgument.optional(),
  init: oneOf("published", "fan_in").optional(),
  signal: abortSignal.optional(),
};
const createOptions = options({ ...openOptions, seed: z.int({ error: "an integer" }).optional() });
const loadOptions = options({
  ...openOptions,
  ...statementFields,
  ...weightsFields,
  onProgress: anyFunction.optional(),
});

/** A model with initial weights. */
export async function createModel(config: ConfigSource, options: CreateOptions): Promise<OpenedModel> {
  checkArgument("create: config", config, configSource);
  const given = ownArgument("create: options", options, createOptions);
  const { seed = 0, signal } = given;
  throwIfAborted(signal);
  const opening = open(configOf(config), "the configuration", given, async (model, device, precision) => {
    await initializeModel(model, device, { dtype: precision, seed });
    return {};
  });
  return abortable(opening, signal);
}

/** A model with the weights of a file, or of the hub. */
export async function loadModel(path: string, options: LoadOptions): Promise<OpenedModel> {
  checkArgument("load: path", path, pathText);
  const given = ownArgument("load: options", options, loadOptions);
  const { onProgress, device: _, threads, precision: __, tokenizer, init, ...weights } = given;
  const { signal, logger } = given;
  throwIfAborted(signal);
  const load = async () => {
    await using file = await ModelFile.open(path, weights);
    return await open(file.config, file.path, given, async (model, device, precision) => ({
      loadReport: await file.fill(model, device, { precision, signal, logger, onProgress }),
    }));
  };
  return abortable(load(), signal);
}
