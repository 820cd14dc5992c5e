import { EvaClipError } from "../index";
import type { ConfigStatement } from "../weights";
import type { WeightsChoice } from "../io/moving_average";
import { configFrom } from "./config_source";
import type { ModelFlags, StatementFlags } from "./model_commands";

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
