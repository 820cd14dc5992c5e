// Readers, terminals and disks that go away while a run writes to them.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeEnding, expectThat, inFolder, NotPossible, runProgram, type Scenario } from "./scenario";
import { checkpointsOf, makeTrainingData, trainWords } from "./training_files";

const LIMIT_MS = 120_000;
const quoted = (words: readonly string[]) =>
  [process.execPath, ...words].map((word) => `'${word}'`).join(" ");

/** Runs a line of shell, and expects the run's last checkpoint to be there. */
async function expectCheckpoint(
  folder: string,
  name: string,
  line: string,
  code: number | undefined,
  step: string,
) {
  const ending = await runProgram(["-c", line], { command: "bash", limitMs: LIMIT_MS });
  expectThat(
    !ending.late && (code === undefined || ending.code === code),
    () => `${name}: ${describeEnding(ending)}`,
  );
  const saved = checkpointsOf(folder, name);
  expectThat(
    saved.at(-1) === step,
    () => `${name}: expected ${step}, found ${saved.join(", ") || "no checkpoint"}`,
  );
}

export const closedPipe: Scenario = {
  name: "a closed pipe",
  run: (amount) =>
    inFolder(async (folder) => {
      await makeTrainingData(folder);
      const rounds = amount === "full" ? 10 : 2;
      const more = ["--log-every-n-steps", "1"];
      for (let i = 0; i < rounds; i++) {
        const both = quoted(trainWords(folder, `both${i}`, { steps: 100, more }));
        const line = `set -o pipefail; { ${both} 2>&1; echo $? > '${folder}/code'; } | head -c 1500 > /dev/null; exit $(cat '${folder}/code')`;
        await expectCheckpoint(folder, `both${i}`, line, 0, "step-0000100");
      }
      return `${rounds} runs trained to their end after the reader of their progress had gone`;
    }),
};

export const closedTerminal: Scenario = {
  name: "a closed terminal",
  run: (amount) =>
    inFolder(async (folder) => {
      if (spawnSync("script", ["--version"]).status !== 0) throw new NotPossible("there is no script(1)");
      await makeTrainingData(folder);
      const rounds = amount === "full" ? 10 : 2;
      for (let i = 0; i < rounds; i++) {
        const name = `terminal${i}`;
        // Only the end saves.
        const more = ["--save-steps", "100000"];
        const run = quoted(trainWords(folder, name, { steps: 100_000, more }));
        // The terminal ends when its emulator is killed; the run gets SIGHUP, and errors for what it writes.
        const line = `script -qec "exec ${run.replaceAll('"', '\\"')}" /dev/null > /dev/null 2>&1 & emulator=$!
          for i in $(seq 300); do [ "$(wc -l < '${folder}/logs/${name}/metrics.jsonl' 2>/dev/null || echo 0)" -gt 3 ] && break; sleep 0.1; done
          read -r child _ < /proc/$emulator/task/$emulator/children; kill -9 $emulator
          for i in $(seq 300); do kill -0 $child 2>/dev/null || exit 0; sleep 0.1; done
          kill -9 $child; exit 9`;
        const ending = await runProgram(["-c", line], { command: "bash", limitMs: LIMIT_MS });
        expectThat(ending.code === 0, () => `${name}: the run did not end: ${describeEnding(ending)}`);
        expectThat(checkpointsOf(folder, name).length > 0, () => `${name}: no checkpoint`);
      }
      return `${rounds} runs whose terminal vanished saved a checkpoint and ended`;
    }),
};

export const fullDisk: Scenario = {
  name: "a full disk",
  run: (amount) =>
    inFolder(async (folder) => {
      await makeTrainingData(folder);
      const logs = join(folder, "logs");
      mkdirSync(logs);
      if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", logs]).status !== 0)
        throw new NotPossible("mounting a small file system takes root");
      try {
        const rounds = amount === "full" ? 5 : 1;
        for (let i = 0; i < rounds; i++) {
          const more = ["--save-steps", "2"];
          const run = trainWords(folder, "full", { steps: 400, more: [...more, "--json"] });
          const ending = await runProgram(run, { limitMs: LIMIT_MS });
          expectThat(ending.code === 1, () => `on a full disk: ${describeEnding(ending)}`);
          expectThat(
            ending.out.includes("ERR_EVACLIP_DISK_FULL"),
            () => `not told: ${ending.out.slice(-300)}`,
          );
          const saved = checkpointsOf(folder, "full");
          expectThat(saved.length > 0, () => "no checkpoint is left");
          for (const old of saved.slice(0, -1))
            rmSync(join(logs, "full", "checkpoints", old), { recursive: true });
          const kept = ["--keep-last", "1", "--resume", "latest"];
          const resumed = trainWords(folder, "full", { steps: 400, more: ["--save-steps", "100", ...kept] });
          const second = await runProgram(resumed, { limitMs: LIMIT_MS });
          expectThat(second.code === 0, () => `with space again: ${describeEnding(second)}`);
          rmSync(join(logs, "full"), { recursive: true });
        }
        return `${rounds} runs told of the full disk, kept their whole checkpoints, and went on with space`;
      } finally {
        spawnSync("umount", ["-l", logs]);
      }
    }),
};
