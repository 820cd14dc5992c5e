import { join } from "node:path";
import type { ConfigFields } from "../weights/config/config_fields";
import { withFields } from "../weights/config/config_fields";
import { type ClipConfig, type Device, parseClipConfig } from "../index";
import { ClipModel, initializeModel } from "../train";
import { type Initialization, loadPretrained, type Pretrained, type PretrainedWeights } from "../weights";
import { checkTokenizer } from "../models/stated_tokenizer";
import { configOf } from "../clip/model_files";
import { findCheckpoint } from "../train/checkpoint";
import { latestOfRun } from "../train/run/run_record";
import { configFrom } from "./config_source";
import { initializationRows } from "./initialization_rows";
import { columns, say } from "./output";
import type { TrainFlags } from "./train_command";
import { CHECKPOINTS } from "./train_folder";

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
  pretrainedEma,
  skipList,
}: TrainFlags): Pretrained {
  const weights = (path: string | undefined): PretrainedWeights | undefined =>
    path === undefined
      ? undefined
      : {
          path,
          ...(skipList && { skip: skipList }),
          ...(pretrainedActivation && { activation: pretrainedActivation }),
          ema: pretrainedEma,
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
  const found = resume === "latest" ? latestOfRun(join(folder, CHECKPOINTS)) : findCheckpoint(resume);
  return (await found) !== undefined;
}

/** The model of a run, without memory yet. */
export async function describeModel(flags: TrainFlags): Promise<ClipModel> {
  const { precision, init } = flags;
  return new ClipModel(await configWith(flags), { precision: precision, init });
}

/** Gives a model the values that a run starts from, and says where these are from when not all are initial. */
export async function startModel(
  model: ClipModel,
  flags: TrainFlags,
  device: Device,
  folder: string,
): Promise<Initialization | undefined> {
  await initializeModel(model, device, { seed: flags.seed });
  const pretrained = pretrainedFrom(flags);
  const hasPretrained = Object.values(pretrained).some((weights) => weights !== undefined);
  if (!hasPretrained || (await willResume(flags, folder))) return undefined;
  const initialization = await loadPretrained(model, pretrained);
  say(describe(initialization));
  return initialization;
}
