import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_STEPS } from "./recipe";
import { DEFAULT_TEST_STYLE, STYLES } from "./styles";

/** The command line of the demo. */
export interface DemoOptions {
  testStyle: string;
  seed: number;
  steps: number;
  optimizer: "lamb" | "adamw";
  validate: boolean;
  precision: "f32" | "bf16";
  device: "cpu" | "cuda" | "auto";
  threads: number;
  allStyles: boolean;
  out: string;
}

/** @param argv arguments, without Node and the script */
export function parseOptions(argv: readonly string[]): DemoOptions {
  const command = new Command("npm run demo --")
    .description(
      "Train a small EVA-CLIP on emoji in many drawing styles, then test it on a style it has never seen.",
    )
    .addOption(
      new Option("--test-style <name>", "style to hold out and test on")
        .choices(STYLES.map(({ name }) => name))
        .default(DEFAULT_TEST_STYLE),
    )
    .option("--seed <n>", "seed of initial weights, batches and augmentation", wholeNumber(0), 0)
    .option("--steps <n>", "training steps of 256 images", wholeNumber(1), DEFAULT_STEPS)
    .addOption(new Option("--optimizer <name>", "optimizer").choices(["lamb", "adamw"]).default("lamb"))
    .option(
      "--validate",
      "hold out the test style too and score another one, to choose hyperparameters",
      false,
    )
    .addOption(
      new Option("--precision <type>", "what the model computes in")
        .choices(["f32", "bf16"])
        .default(multipliesBf16() ? "bf16" : "f32"),
    )
    .addOption(new Option("--device <name>", "device").choices(["cpu", "cuda", "auto"]).default("cpu"))
    .option("--threads <n>", "CPU threads", wholeNumber(1), availableParallelism())
    .option("--all-styles", "include the two large optional styles (30 MB more to download)", false)
    .option("--out <folder>", "folder of the result and the report", "runs/demo")
    .allowExcessArguments(false);
  return command.parse([...argv], { from: "user" }).opts<DemoOptions>();
}

/** Whether the processor has bf16 matrix instructions, which are twice as fast as f32. */
function multipliesBf16(): boolean {
  try {
    return /\b(avx512_bf16|amx_bf16)\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false;
  }
}

function wholeNumber(lowest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isInteger(value) && value >= lowest && value < 2 ** 31) return value;
    throw new InvalidArgumentError(`expected an integer of at least ${lowest}.`);
  };
}
