import type { Command } from "commander";
import type { Finish } from "../exit_code";
import type { DoctorFlags } from "./flags";

export function addDoctorCommand(program: Command, finish: Finish): void {
  program
    .command("doctor")
    .description("show the devices of this machine, and why others are not available")
    .option("--json", "print one JSON document", false)
    .action(async (flags: DoctorFlags) => {
      const { diagnose } = require("./action") as typeof import("./action");
      finish(await diagnose(flags));
    });
}
