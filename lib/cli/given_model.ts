import { invalidArgument } from "../arguments";
import type { ConfigStatement, OpenWeightsOptions } from "../weights";
import { Device, EvaClip } from "../index";
import { defaultPrecision } from "../models/precision";
import { configFrom, preprocessingFrom } from "./config_source";
import { downloadProgress } from "./download_progress";
import type { ModelFlags, StatementFlags } from "./model_flags";
import { say } from "./output";

/** The model that a command was given, with --model or as its first argument, and its other arguments. */
export function modelAndRest(
  words: readonly string[],
  { model }: Pick<ModelFlags, "model">,
): { model: string; rest: readonly string[] } {
  if (model !== undefined) return { model, rest: words };
  const [first, ...rest] = words;
  if (first !== undefined) return { model: first, rest };
  throw invalidArgument("missing model: pass its path first or with --model");
}

/** The flags that describe a weight file. */
export async function statementFrom({
  config,
  quickGelu,
  preprocessing,
  pretrained,
  ema,
}: StatementFlags): Promise<ConfigStatement & OpenWeightsOptions> {
  return {
    ...(config !== undefined && { config: await configFrom(config) }),
    ...(quickGelu !== undefined && { quickGelu }),
    ...(preprocessing !== undefined && { preprocessing: await preprocessingFrom(preprocessing) }),
    ...(pretrained !== undefined && { pretrained }),
    ema,
    onDownload: downloadProgress(),
    logger: { warn: say },
  };
}

/** Loads the models of a command onto one device, prints their precision and device, runs `use`, then frees all. */
export async function withModels(
  paths: readonly string[],
  flags: ModelFlags,
  use: (models: readonly EvaClip[]) => Promise<void>,
): Promise<void> {
  const { threads } = flags;
  await using device = await Device.open(flags.device, threads === undefined ? {} : { threads });
  const precision = flags.precision ?? defaultPrecision(device.info.kind);
  const why = device.fallbackReason === undefined ? "" : ` (cuda: ${device.fallbackReason})`;
  const statement = await statementFrom(flags);
  const models: EvaClip[] = [];
  try {
    for (const path of paths) {
      const model = await EvaClip.load(path, { device, precision, ...statement });
      models.push(model);
      say(`${path}: ${settingOf(model)}${why}`);
    }
    await use(models);
  } finally {
    await Promise.all(models.map((model) => model.dispose()));
  }
}

/** As `withModels`, for one. */
export function withModel(
  path: string,
  flags: ModelFlags,
  use: (model: EvaClip) => Promise<void>,
): Promise<void> {
  return withModels([path], flags, ([model]) => use(model!));
}

/** The precision and device of a model. */
export function settingOf({ precision, device }: EvaClip): string {
  return `${precision} on ${device}`;
}
