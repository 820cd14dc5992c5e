import { Command, CommanderError } from "commander";
import { invalidArgument } from "../arguments";
import type { EvaClipError } from "../errors";
import { addConvertCommand } from "./convert/command";
import { addDoctorCommand } from "./doctor/command";
import { addEvaluateCommand } from "./evaluate/command";
import { EXIT, type ExitCode, exitCodeOf, type Finish } from "./exit_code";
import { asksForJson, expectValues, refuseEmpty } from "./given_words";
import { addInspectCommand } from "./inspect/command";
import { addClassifyCommand } from "./classify/command";
import { addEncodeCommand } from "./encode/command";
import { addModelsCommand } from "./models/command";
import { describeError, errorDocument, printDocument, say } from "./output";
import { packageVersion } from "./package_version";
import { addTrainCommand } from "./train/command";

/** The command line for these words; `finish` is told of an exit status that is neither success nor an error. */
function buildProgram(words: readonly string[], finish: Finish): Command {
  const program = new Command("eva-clip")
    .description("Train and use EVA-CLIP models")
    .version(packageVersion)
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help for the options)")
    .exitOverride()
    .hook("preSubcommand", (_, command) => expectValues(command, words))
    .hook("preAction", (_, command) => refuseEmpty(command));
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
  const program = buildProgram(words, (status) => {
    code = status;
  });
  try {
    await program.parseAsync(words, { from: "user" });
    return code;
  } catch (error) {
    const failure = error instanceof CommanderError ? usageError(error, words) : error;
    // The help or the version, which was asked for.
    if (failure === undefined) return EXIT.ok;
    // Commander has printed its own message, but for a command that is missing, where it shows the help.
    const { code: rule } = error as { code?: string };
    if (failure === error || rule === HELP) say(describeError(failure));
    if (asksForJson(words)) printDocument(errorDocument(failure));
    return exitCodeOf(failure);
  }
}

/** Commander's code where it shows the help because it finds no command. */
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
