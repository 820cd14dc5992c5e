import { shortened } from "../../arguments";
import type { Json } from "../../data/dataset";
import { EvaClipError } from "../../errors";
import type { BatchSource } from "../batch_source";
import { scheduleOf, type TrainConfig } from "../train_config";
import type { RunSettings, TrainerState } from "../../weights/checkpoint/trainer_state";

/** Settings that a run cannot go on without: with another value, what the checkpoint holds means something else. */
const ESSENTIAL: Readonly<Record<string, string>> = {
  optimizer: "its moments mean nothing to another optimizer",
  model: "its weights mean nothing in another architecture",
  firstSamples:
    "its place in the data is that of another data set. To begin these anew: --restart-data (restartData in train())",
};

/** What matters in comparing a run with the one that goes on from its checkpoint. */
export async function settingsOf(config: TrainConfig, source: BatchSource): Promise<RunSettings> {
  const { model, optimizer, steps, patchDropout } = config;
  const { kind = "cosine", warmupSteps, cooldownSteps = 0 } = scheduleOf(config);
  const { patch_dropout: _, ...vision } = model.config.vision_cfg as Record<string, unknown>;
  return {
    ...optimizer.describe(),
    precision: model.image.precision,
    steps,
    schedule: kind,
    warmupSteps,
    cooldownSteps,
    patchDropout: patchDropout?.rate ?? model.image.patchDropout,
    undroppedEnd: patchDropout?.undroppedEnd ?? 0,
    model: JSON.parse(JSON.stringify({ ...model.config, vision_cfg: vision })) as Json,
    ...(await source.describe?.()),
  };
}

/** Where two JSON values differ: names of fields, joined by dots. What one of them lacks is no difference. */
function differences(a: Json | undefined, b: Json | undefined, path: string): string[] {
  if (a === undefined || b === undefined || JSON.stringify(a) === JSON.stringify(b)) return [];
  const areObjects = [a, b].every(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  );
  if (!areObjects) return [path];
  const [one, other] = [a, b] as [Record<string, Json>, Record<string, Json>];
  return Object.keys(one).flatMap((name) => differences(one[name], other[name], `${path}.${name}`));
}

const show = (value: unknown) => (value === null ? "not given" : shortened(JSON.stringify(value)));

/**
 * Compares the settings of a run with those of the checkpoint that it goes on from.
 * @param ignored names that are meant to differ
 * @returns a message for each that differs and may
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` for one that must not
 */
export function compareSettings(
  folder: string,
  state: TrainerState,
  now: RunSettings,
  ignored: readonly string[] = [],
): string[] {
  const settingAt = (settings: RunSettings, path: string) =>
    path.split(".").reduce<Json | undefined>((value, name) => (value as RunSettings)[name], settings);
  const changes = Object.keys(now)
    .filter((name) => !ignored.includes(name))
    .flatMap((name) => differences(state.settings?.[name], now[name], name));
  const messages = changes.map((path) => {
    const [before, after] = [settingAt(state.settings!, path), settingAt(now, path)];
    const reason = ESSENTIAL[path.split(".")[0]!];
    const message = `${path} was ${show(before)} in ${folder}, and is ${show(after)} now`;
    if (reason === undefined) return message;
    const problem = `the run cannot go on: ${message}; ${reason}`;
    const details = { path: folder, setting: path, expected: after, found: before };
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", problem, details);
  });
  return messages;
}
