#!/usr/bin/env node
import { outliveReaders } from "./lost_reader";
import { runCli } from "./program";

outliveReaders();
void runCli(process.argv.slice(2)).then((code) => {
  // A result that could not be written has set it already.
  process.exitCode ||= code;
});
