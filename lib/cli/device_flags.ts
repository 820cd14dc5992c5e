import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Precision } from "../models/precision";
import { integer } from "./flag_values";

/** The most threads that a CPU device has. */
const MOST_THREADS = Math.max(64, 4 * availableParallelism());

/** Flags of every command that computes. */
export interface DeviceFlags {
  device: "auto" | "cpu" | "cuda";
  threads?: number;
  json: boolean;
}

export function addDeviceFlags(command: Command): Command {
  const device = new Option("--device <kind>", "device; auto is CUDA if it works, otherwise the CPU")
    .choices(["auto", "cpu", "cuda"])
    .default("auto");
  // An empty variable counts as unset.
  if (process.env.EVA_CLIP_DEVICE) device.env("EVA_CLIP_DEVICE");
  return command
    .addOption(device)
    .option(
      "--threads <n>",
      "CPU threads (default: all that the process and its container may use)",
      integer(1, MOST_THREADS),
    )
    .option("--json", "print one JSON document", false);
}

/** Names of precisions, ours and open_clip's. */
const PRECISIONS = { f32: "f32", fp32: "f32", bf16: "bf16", amp_bf16: "bf16", amp_bfloat16: "bf16" } as const;

export function addPrecisionFlag(command: Command): Command {
  return command.addOption(
    new Option(
      "--precision <type>",
      `what the model computes in: ${Object.keys(PRECISIONS).join(", ")} (default: bf16 on CUDA, f32 on the CPU)`,
    ).argParser((text): Precision => {
      if (Object.hasOwn(PRECISIONS, text)) return PRECISIONS[text as keyof typeof PRECISIONS];
      throw new InvalidArgumentError(`It must be one of ${Object.keys(PRECISIONS).join(", ")}.`);
    }),
  );
}
