#!/usr/bin/env node
import { EXIT } from "./exit_code";
import { say } from "./output";
import { runCli } from "./program";

/** A reader of the output that goes away must not end a command: a training run goes on without its progress. */
function outliveReaders(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // The reader has seen enough, as `head` has.
    if (error.code === "EPIPE" || error.code === "EIO") return;
    process.exitCode = EXIT.failure;
    say(`error: cannot write to standard output: ${error.message}`);
  });
  process.stderr.on("error", () => undefined);
}

outliveReaders();
void runCli(process.argv.slice(2)).then((code) => {
  // An output error may have set it already.
  process.exitCode ||= code;
});
