import { CounterRandom } from "../../lib/random";
import { describeEnding, expectThat, inFolder, runProgram, type Scenario } from "./scenario";
import { checkpointFile, checkpointsOf, loggedSteps, makeTrainingData, trainWords } from "./training_files";

const STEPS = 400;
const LIMIT_MS = 120_000;

/** Kills a run at random times until it has been killed so often, then lets it finish. */
async function runKilled(
  folder: string,
  name: string,
  kills: number,
  more: readonly string[],
): Promise<void> {
  const random = new CounterRandom(9, kills);
  for (let killed = 0; ; ) {
    const words = trainWords(folder, name, { steps: STEPS, more: [...more, "--resume", "latest"] });
    // From before the first step to amid saves; a process that starts twice as slowly is still killed amid its work.
    const limitMs = killed < kills ? 300 + random.below(4_000) : LIMIT_MS;
    const ending = await runProgram(words, { limitMs });
    if (ending.late && killed < kills) {
      killed += 1;
      continue;
    }
    expectThat(ending.code === 0, () => `after ${killed} kills: ${describeEnding(ending)}`);
    // It finished before it could be killed: that is as good as the last kill.
    return;
  }
}

export const killAndResume: Scenario = {
  name: "kill -9 and resume",
  run: (amount) =>
    inFolder(async (folder) => {
      await makeTrainingData(folder);
      const kills = amount === "full" ? 20 : 3;
      const more = ["--save-steps", "5", "--keep-last", "3", "--opt", "lamb"];
      const words = trainWords(folder, "whole", { steps: STEPS, more });
      const whole = await runProgram(words, { limitMs: LIMIT_MS });
      expectThat(whole.code === 0, () => `the undisturbed run: ${describeEnding(whole)}`);
      await runKilled(folder, "killed", kills, more);
      const last = checkpointsOf(folder, "whole").at(-1)!;
      expectThat(checkpointsOf(folder, "killed").at(-1) === last, () => "the runs ended at different steps");
      for (const file of ["model.safetensors", "optimizer.safetensors"]) {
        const [expected, found] = ["whole", "killed"].map((name) => checkpointFile(folder, name, last, file));
        expectThat(expected!.equals(found!), () => `${file} differs after ${kills} kills`);
      }
      const steps = loggedSteps(folder, "killed");
      expectThat(
        steps.length === STEPS && steps.every((step, i) => step === i + 1),
        () => `the metrics have gaps or doubles: ${steps.length} lines for ${STEPS} steps`,
      );
      return `${kills} kills: model, optimizer and metrics equal to those of the undisturbed run, bit for bit`;
    }),
};
