import { Command, CommanderError } from "commander";
import { invalidArgument } from "../arguments";
import type { EvaClipError } from "../errors";
import { addBuildCommand } from "./build/command";
import { addConvertCommand } from "./convert/command";
import { addDoctorCommand } from "./doctor/command";
import { addEvaluateCommand } from "./evaluate/command";
import { EXIT, type ExitCode, exitCodeOf, type Finish } from "./exit_code";
import { asksForJson, expectValues, refuseAmbiguous, refuseEmpty, withOurNames } from "./given_words";
import { addIndexCommand } from "./index/command";
import { addExportCommand } from "./export/command";
import { addInitCommand } from "./init/command";
import { addInspectCommand } from "./inspect/command";
import { addClassifyCommand } from "./classify/command";
import { addEncodeCommand } from "./encode/command";
import { addModelsCommand } from "./models/command";
import { describeError, errorDocument, printDocument, say } from "./output";
import { packageVersion } from "./package_version";
import { addServeCommand } from "./serve/command";
import { addSearchCommand } from "./search/command";
import { addTrainCommand } from "./train/command";
import { ALIASES, AMBIGUOUS } from "./train/other_names";

/** The command line for these words; `finish` receives the exit status of an action that does not throw. */
function buildProgram(words: readonly string[], finish: Finish): Command {
  const program = new Command("eva-clip")
    .description("Train and use EVA-CLIP models")
    .version(packageVersion)
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help for the options)")
    .exitOverride()
    .hook("preSubcommand", (_, command) => {
      if (command.name() === "train") refuseAmbiguous(command, words, AMBIGUOUS);
      expectValues(command, words);
    })
    .hook("preAction", (_, command) => refuseEmpty(command));
  addTrainCommand(program, finish);
  addEvaluateCommand(program);
  addEncodeCommand(program);
  addClassifyCommand(program);
  addServeCommand(program);
  addIndexCommand(program);
  addSearchCommand(program);
  addExportCommand(program);
  addInspectCommand(program);
  addConvertCommand(program);
  addModelsCommand(program);
  addDoctorCommand(program, finish);
  addInitCommand(program);
  addBuildCommand(program);
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

/** Runs the command line and returns the exit status. */
export async function runCli(given: readonly string[]): Promise<ExitCode> {
  const words = given[0] === "train" ? withOurNames(given, ALIASES) : given;
  let code: ExitCode = EXIT.ok;
  const program = buildProgram(words, (status) => {
    code = status;
  });
  try {
    await program.parseAsync(words, { from: "user" });
    return code;
  } catch (error) {
    const failure = error instanceof CommanderError ? usageError(error, words) : error;
    // The help or the version was asked for.
    if (failure === undefined) return EXIT.ok;
    // Commander has printed its own message, except for a missing command, for which it prints the help.
    const { code: rule } = error as { code?: string };
    if (failure === error || rule === HELP) say(describeError(failure));
    if (asksForJson(words)) printDocument(errorDocument(failure));
    return exitCodeOf(failure);
  }
}

/** Commander's code when it shows the help because there is no command. */
const HELP = "commander.help";

/** Commander's usage error as an EvaClipError; undefined for help or a version that was asked for. */
function usageError(
  { exitCode, code, message }: CommanderError,
  [first, wanted]: readonly string[],
): EvaClipError | undefined {
  if (exitCode === 0) return undefined;
  const missing = first === "help" ? `unknown command '${wanted}'` : "missing command";
  const what = code === HELP ? missing : message.replace(/^error: /, "");
  return invalidArgument(what.replace(/\s*\n\s*/g, " "), { rule: code });
}
