// Worker threads that are terminated while they work, again and again in one process.
import { TranspiledLibrary } from "../support/transpiled_library";
import { describeEnding, expectThat, runProgram, type Scenario } from "./scenario";

const SCRIPTS = { train_forever: "training", batch_forever: "full queues of batchers" };

export const terminatedWorkers: Scenario = {
  name: "terminated workers",
  async run(amount) {
    const workers = amount === "full" ? 50 : 10;
    const library = new TranspiledLibrary();
    try {
      for (const script of Object.keys(SCRIPTS)) {
        const words = [library.script("worker_host.js"), script, String(workers)];
        const ending = await runProgram(words, { limitMs: 20_000 * workers, env: library.env });
        const isRight = ending.code === 0 && ending.out === "all ended\n" && ending.err === "";
        expectThat(isRight, () => `${script}: ${describeEnding(ending)}`);
      }
    } finally {
      library.remove();
    }
    return `${workers} workers each with ${Object.values(SCRIPTS).join(" and with ")} were terminated in one process`;
  },
};
