import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ConfigFields } from "../checkpoints/config_fields";
import { withFields } from "../checkpoints/config_fields";
import {
  type ClipConfig,
  ClipModel,
  type Device,
  type Initialization,
  initializeModel,
  loadPretrained,
  type Pretrained,
  type PretrainedWeights,
  parseClipConfig,
} from "../index";
import { writeJson } from "../io/json_file";
import { checkTokenizer } from "../models/stated_tokenizer";
import { configOf } from "../serve/model_files";
import { findCheckpoint } from "../train/checkpoint";
import { configFrom } from "./config_source";
import { initializationRows } from "./initialization_rows";
import { columns, say } from "./output";
import type { TrainFlags } from "./train_command";

const REPORT_FILE = "initialization.json";

/** The configuration that --model names, changed as the flags say. */
async function configWith({
  model,
  forceImageSize,
  forceContextLength,
  forceQuickGelu,
}: TrainFlags): Promise<ClipConfig> {
  const forced: ConfigFields = {
    ...(forceQuickGelu && { quick_gelu: true }),
    vision_cfg: forceImageSize === undefined ? {} : { image_size: forceImageSize },
    text_cfg: forceContextLength === undefined ? {} : { context_length: forceContextLength },
  };
  const config = parseClipConfig(withFields(configOf(await configFrom(model)), forced));
  checkTokenizer(config, `--model ${model}`);
  return config;
}

function pretrainedFrom({
  pretrained,
  pretrainedImage,
  pretrainedText,
  pretrainedActivation,
  skipList,
}: TrainFlags): Pretrained {
  const weights = (path: string | undefined): PretrainedWeights | undefined =>
    path === undefined
      ? undefined
      : {
          path,
          ...(skipList && { skip: skipList }),
          ...(pretrainedActivation && { activation: pretrainedActivation }),
        };
  return { model: weights(pretrained), image: weights(pretrainedImage), text: weights(pretrainedText) };
}

function describe({ sources, parameters }: Initialization): string {
  const files = sources.map(
    ({ path, towers, layout }) =>
      [towers === "both" ? "pretrained" : `pretrained ${towers}`, `${path} (${layout})`] as const,
  );
  return `${columns(files)}\n\n${columns(initializationRows(parameters))}\n`;
}

/** Whether the run goes on from a checkpoint, whose weights go over any that it started from. */
async function willResume({ resume }: TrainFlags, folder: string): Promise<boolean> {
  if (resume === undefined) return false;
  return (await findCheckpoint(resume === "latest" ? join(folder, "checkpoints") : resume)) !== undefined;
}

/** The model of a run with the values that it starts from; where these are is printed, and kept in the run's folder. */
export async function startModel(flags: TrainFlags, device: Device, folder: string): Promise<ClipModel> {
  const { precision, init, seed } = flags;
  const model = new ClipModel(await configWith(flags), { type: precision, init });
  await initializeModel(model, device, { seed });
  const pretrained = pretrainedFrom(flags);
  const hasPretrained = Object.values(pretrained).some((weights) => weights !== undefined);
  if (!hasPretrained || (await willResume(flags, folder))) return model;
  const initialization = await loadPretrained(model, pretrained);
  await mkdir(folder, { recursive: true });
  await writeJson(join(folder, REPORT_FILE), { seed, init, ...initialization });
  say(describe(initialization));
  return model;
}
