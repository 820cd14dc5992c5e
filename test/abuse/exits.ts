// Every way to end a process at every moment: it ends with the status that was asked for, and soon.
import { TranspiledLibrary } from "../support/transpiled_library";
import { describeEnding, expectThat, inFolder, runProgram, type Scenario } from "./scenario";
import { loggedSteps, makeTrainingData, trainWords } from "./training_files";

/** Ways to end, and what the device is busy with then (test/support/end_while_busy.ts). */
const WAYS = ["exit", "throw", "reject", "signal", "worker-exit", "worker-main", "worker-terminate"];
const MOMENTS = ["run", "compile", "parameters", "encode", "batch", "train", "load", "save", "dispose"];
const LIMIT_MS = 60_000;
const ASKED = 7;

export const exitsWhileBusy: Scenario = {
  name: "exits while busy",
  async run(amount) {
    const times = amount === "full" ? 100 : 6;
    const library = new TranspiledLibrary();
    const wrong: string[] = [];
    try {
      for (const way of WAYS) {
        for (let i = 0; i < times; i++) {
          const moment = MOMENTS[i % MOMENTS.length]!;
          const words = [library.script("end_while_busy.js"), way, moment, String(20 + ((i * 37) % 130))];
          const ending = await runProgram(words, { limitMs: LIMIT_MS, env: library.env });
          if (ending.late || ending.code !== ASKED) wrong.push(`${way} ${moment}: ${describeEnding(ending)}`);
        }
      }
    } finally {
      library.remove();
    }
    const all = times * WAYS.length;
    expectThat(wrong.length === 0, () => `${wrong.length} of ${all} ended otherwise:\n${wrong.join("\n")}`);
    return `${times} times ${WAYS.length} ways: no crash, no hang, the status that was asked for`;
  },
};

export const secondInterrupt: Scenario = {
  name: "a second interrupt",
  run: (amount) =>
    inFolder(async (folder) => {
      await makeTrainingData(folder);
      const times = amount === "full" ? 100 : 3;
      for (let i = 0; i < times; i++) {
        const name = `run${i}`;
        let sent = 0;
        const words = trainWords(folder, name, { steps: 100_000, more: ["--log-every-n-steps", "1"] });
        const ending = await runProgram(words, {
          limitMs: LIMIT_MS,
          watch: (child, written) => {
            if (sent > 0 || !written.includes("step 3/")) return;
            sent = 1;
            child.kill("SIGINT");
            // Later than what counts as the same one, sooner or later than the end that the first one asked for.
            setTimeout(() => child.kill("SIGINT"), 105 + ((i * 13) % 40));
          },
        });
        // After its last line of JavaScript, Node no longer handles signals: a shell calls that 130, too.
        const status = ending.signal === "SIGINT" ? 130 : ending.code;
        expectThat(!ending.late && status === 130, () => `${name}: ${describeEnding(ending)}`);
        expectThat(loggedSteps(folder, name).length >= 2, () => `${name}: the metrics are gone`);
      }
      return `${times} runs were interrupted twice and ended with 130`;
    }),
};
