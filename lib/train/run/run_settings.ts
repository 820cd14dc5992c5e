import { shortened } from "../../arguments";
import type { Json } from "../../data/dataset";
import { EvaClipError } from "../../errors";
import type { RunSettings, TrainerState } from "../../weights/checkpoint/trainer_state";
import type { BatchSource } from "../batch_source";
import { LearningRates } from "../learning_rates";
import { clipObjective } from "../objective/clip_objective";
import type { TrainConfig } from "../train_config";

/** Settings that must not change across a resume, and why. */
const ESSENTIAL: Readonly<Record<string, string>> = {
  optimizer: "the moments in it belong to another optimizer",
  model: "the weights in it belong to another architecture",
  firstSamples:
    "its position is in another data set. To start the data from the beginning: --restart-data (restartData in train())",
};

/** The settings of a run that a resumed run is compared with. */
export async function settingsOf(config: TrainConfig, source: BatchSource): Promise<RunSettings> {
  const { model, optimizer, steps, patchDropout, objective = clipObjective } = config;
  const { patch_dropout: _, ...vision } = model.config.vision_cfg as Record<string, unknown>;
  return {
    ...optimizer.describe(),
    precision: model.image.precision,
    steps,
    ...new LearningRates(config).describe(),
    objective: objective.name,
    patchDropout: patchDropout?.rate ?? model.image.patchDropout,
    undroppedEnd: patchDropout?.undroppedEnd ?? 0,
    model: JSON.parse(JSON.stringify({ ...model.config, vision_cfg: vision })) as Json,
    ...(await source.describe?.()),
  };
}

/** The paths of the fields in which two JSON values differ. A field that only one of them has does not count. */
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
 * Compares the settings of a run with those of the checkpoint that it resumes.
 * @param ignored names that may differ without a message
 * @returns a message for each setting that has changed
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` for one that must not change
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
    const problem = `the run cannot be resumed: ${message}; ${reason}`;
    const details = { path: folder, setting: path, expected: after, found: before };
    throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_MISMATCH", problem, details);
  });
  return messages;
}
