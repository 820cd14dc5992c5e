import { Command, CommanderError } from "commander";
import { invalidArgument } from "../arguments";
import type { EvaClipError } from "../errors";
import { addConvertCommand } from "./convert_command";
import { addDoctorCommand } from "./doctor_command";
import { addEvaluateCommand } from "./evaluate_command";
import { EXIT, type ExitCode, exitCodeOf } from "./exit_code";
import { addInspectCommand } from "./inspect_command";
import { addClassifyCommand, addEncodeCommand } from "./model_commands";
import { addModelsCommand } from "./models_command";
import { describeError, errorDocument, printDocument, say } from "./output";
import { packageVersion } from "./package_version";
import { addTrainCommand } from "./train_command";

/** What a command's action settles with; nothing means that all went well. */
export type Finish = (code: ExitCode) => void;

/** The command line; `finish` is told of an exit status that is neither success nor an error. */
function buildProgram(finish: Finish): Command {
  const program = new Command("eva-clip")
    .description("Train and use EVA-CLIP models")
    .version(packageVersion)
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help for the options)")
    .exitOverride();
  addTrainCommand(program, finish);
  addEvaluateCommand(program);
  addEncodeCommand(program);
  addClassifyCommand(program);
  addInspectCommand(program);
  addConvertCommand(program);
  addModelsCommand(program);
  addDoctorCommand(program, finish);
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

/** Runs the command line and returns the exit status. */
export async function runCli(words: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok;
  const program = buildProgram((status) => {
    code = status;
  });
  try {
    await program.parseAsync(words, { from: "user" });
    return code;
  } catch (error) {
    const failure = error instanceof CommanderError ? usageError(error) : error;
    // The help or the version, which was asked for.
    if (failure === undefined) return EXIT.ok;
    // Commander has printed its own message.
    if (failure === error) say(describeError(error));
    if (words.includes("--json")) printDocument(errorDocument(failure));
    return exitCodeOf(failure);
  }
}

/** Commander's usage error as an EvaClipError; undefined for help or a version that was asked for. */
function usageError({ exitCode, code, message }: CommanderError): EvaClipError | undefined {
  if (exitCode === 0) return undefined;
  // Without a command, commander shows the help and has no message.
  const what = code === "commander.help" ? "missing command" : message.replace(/^error: /, "");
  return invalidArgument(what.replace(/\s*\n\s*/g, " "), { rule: code });
}
