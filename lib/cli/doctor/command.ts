import type { Command } from "commander";
import type { Finish } from "../exit_code";
import type { DoctorFlags } from "./flags";

export function addDoctorCommand(program: Command, finish: Finish): void {
  program
    .command("doctor")
    .description("examine this machine: system, limits, devices with a self-test, and which one auto chooses")
    .option("--json", "print one JSON document", false)
    .action(async (flags: DoctorFlags) => {
      const { diagnose } = require("./action") as typeof import("./action");
      finish(await diagnose(flags));
    });
}
