import { type ConfigStatement, EvaClip, EvaClipError } from "../index";
import type { WeightsChoice } from "../io/moving_average";
import { configFrom } from "./config_source";
import type { ModelFlags, StatementFlags } from "./model_flags";
import { say } from "./output";

/** The model that a command was given, by --model or first of all, and its other arguments. */
export function modelAndRest(
  words: readonly string[],
  { model }: Pick<ModelFlags, "model">,
): { model: string; rest: readonly string[] } {
  if (model !== undefined) return { model, rest: words };
  const [first, ...rest] = words;
  if (first !== undefined) return { model: first, rest };
  throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", "no model: give its path first, or as --model");
}

/** What the flags state of a file of weights. */
export async function statementFrom({
  config,
  quickGelu,
  ema,
}: StatementFlags): Promise<ConfigStatement & WeightsChoice> {
  return {
    ...(config !== undefined && { config: await configFrom(config) }),
    ...(quickGelu !== undefined && { quickGelu }),
    ema,
  };
}

/** Loads the model a command was given, and says where it runs. */
export async function loadModel(path: string, flags: ModelFlags): Promise<EvaClip> {
  const { device, threads, precision } = flags;
  const model = await EvaClip.load(path, {
    device,
    precision: precision,
    ...(threads !== undefined && { threads }),
    ...(await statementFrom(flags)),
  });
  const why = model.fallbackReason === undefined ? "" : ` (cuda: ${model.fallbackReason})`;
  say(`${path}: ${model.setting}${why}`);
  return model;
}
