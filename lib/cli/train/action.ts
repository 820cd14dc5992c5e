import type { Parameter } from "../../graph";
import type { TrainResult } from "../../train";
import { type RecipeRun, trainRecipe } from "../../train/recipe/recipe";
import type { Initialization } from "../../weights/pretrained";
import { EXIT, type ExitCode } from "../exit_code";
import { columns, count, printResult, say } from "../output";
import type { TrainFlags } from "./flags";
import { initializationRows } from "./initialization_rows";
import { TrainingProgress } from "./progress";
import { inFlags, recipeFrom } from "./recipe_from_flags";
import { runFolder } from "./run_folder";
import { StopSignals } from "../stop_signals";

function describeInitialization({ sources, parameters }: Initialization): string {
  const files = sources.map(
    ({ path, towers, layout }) =>
      [towers === "both" ? "pretrained" : `pretrained ${towers}`, `${path} (${layout})`] as const,
  );
  return `${columns(files)}\n\n${columns(initializationRows(parameters))}\n`;
}

function describeSettings(folder: string, flags: TrainFlags, { config }: RecipeRun): string {
  const sizeOf = (parameters: readonly Parameter[]) => parameters.reduce((sum, { size }) => sum + size, 0);
  const { model, optimizer, device, steps, schedule, patchDropout } = config;
  const [total, trained] = [sizeOf(model.parameters()), sizeOf(optimizer.parameters)];
  const share = trained === total ? "" : ` (${count(trained)} of them trained)`;
  const { name, kind, threads, instructionSet } = device.info;
  return columns([
    ["run", folder],
    ["model", `${flags.model}, ${count(total)} parameters${share}, ${model.image.precision}`],
    ["device", `${kind}: ${name}, ${instructionSet}, ${threads} threads`],
    ["steps", `${steps} of ${flags.batchSize} samples`],
    [
      "optimizer",
      `${flags.opt} lr ${flags.lr} wd ${flags.wd} betas ${flags.beta1}, ${flags.beta2} eps ${flags.eps}`,
    ],
    ["schedule", JSON.stringify(schedule)],
    ["patch dropout", JSON.stringify(patchDropout)],
  ]);
}

function describeResult({
  reason,
  step,
  samplesSeen,
  samplesPerSecond,
  loss,
  checkpoint,
}: TrainResult): string {
  return columns([
    ["ended", reason],
    ["step", step],
    ["samples seen", samplesSeen],
    ["samples/s", samplesPerSecond.toFixed(1)],
    ...(loss === undefined ? [] : [["loss", loss.toFixed(4)] as const]),
    ["checkpoint", checkpoint],
  ]);
}

/** Shows a run until it ends; a signal stops it. */
async function follow(run: RecipeRun, flags: TrainFlags, signals: StopSignals): Promise<TrainResult> {
  const progress = new TrainingProgress(run.config.steps, flags.logEveryNSteps);
  signals.onFirst(() => {
    progress.note("stopping after this step; a checkpoint will be saved. Again: stop at once");
    run.stop();
  });
  try {
    for await (const event of run) progress.show(event);
    return await run.result;
  } finally {
    progress.stop();
  }
}

/**
 * Trains as configured by the flags. A first SIGINT, SIGTERM or SIGHUP ends the run after the current step, with a
 * checkpoint; a second one ends the process immediately. A closed output pipe does not end the run.
 */
export async function runTraining(flags: TrainFlags): Promise<ExitCode> {
  using signals = new StopSignals();
  const folder = runFolder(flags);
  try {
    await using run = await trainRecipe(await recipeFrom(flags, folder));
    if (run.initialization) say(describeInitialization(run.initialization));
    say(describeSettings(folder, flags, run));
    const result = await follow(run, flags, signals);
    printResult(result, flags.json, describeResult);
    return (result.reason === "stopped" && signals.exitCode) || EXIT.ok;
  } catch (error) {
    throw inFlags(error);
  }
}
