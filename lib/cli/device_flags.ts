import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Precision } from "../models/precision";
import { integer } from "./flag_values";

/** As many as a device of the CPU has at most. */
const MOST_THREADS = Math.max(64, 4 * availableParallelism());

/** Flags of every command that computes. */
export interface DeviceFlags {
  device: "auto" | "cpu" | "cuda";
  threads?: number;
  json: boolean;
}

export function addDeviceFlags(command: Command): Command {
  const device = new Option("--device <kind>", "where to compute")
    .choices(["auto", "cpu", "cuda"])
    .default("auto");
  // A variable that is set but empty means the same as one that is not set.
  if (process.env.EVA_CLIP_DEVICE) device.env("EVA_CLIP_DEVICE");
  return command
    .addOption(device)
    .option("--threads <n>", "threads of the CPU", integer(1, MOST_THREADS))
    .option("--json", "print one JSON document", false);
}

/** Names of the number types, ours and open_clip's. */
const PRECISIONS = { f32: "f32", fp32: "f32", bf16: "bf16", amp_bf16: "bf16", amp_bfloat16: "bf16" } as const;

export function addPrecisionFlag(command: Command): Command {
  return command.addOption(
    new Option("--precision <type>", `type of activations: ${Object.keys(PRECISIONS).join(", ")}`)
      .default("f32")
      .argParser((text): Precision => {
        if (Object.hasOwn(PRECISIONS, text)) return PRECISIONS[text as keyof typeof PRECISIONS];
        throw new InvalidArgumentError(`It must be one of ${Object.keys(PRECISIONS).join(", ")}.`);
      }),
  );
}
