import { type Command, InvalidArgumentError, Option } from "commander";
import { EnvironmentCommand } from "../environment_flags";
import { integer, positive, real } from "../flag_values";
import { describeModelCommand } from "../model_flags";
import type { ServeFlags } from "./flags";

/** Values separated by commas, or of a flag given several times. */
function list(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, ...text.split(",").map((value) => value.trim())];
}

/** NAME=PATH, or several separated by commas. */
function namedPaths(text: string, earlier: readonly [string, string][] = []): [string, string][] {
  const pairs = text.split(/,(?=[^,=]+=)/).map((pair): [string, string] => {
    const [, name, path] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
    if (name === undefined || path === undefined)
      throw new InvalidArgumentError("It must be NAME=PATH, such as small=models/small.");
    return [name, path];
  });
  return [...earlier, ...pairs];
}

function addLimitFlags(command: Command): Command {
  return command
    .option("--max-batch <n>", "samples computed together", positive, 32)
    .option("--max-delay-ms <ms>", "how long a sample waits for others on an idle device (default: 2)", real)
    .option("--max-queue <n>", "samples that wait, per model; beyond: status 429", positive, 4096)
    .option("--max-body-mb <n>", "MiB of a request's body; beyond: status 413", positive, 32)
    .option("--max-images <n>", "images of a request", positive, 32)
    .option("--max-texts <n>", "texts of a request", positive, 2048)
    .option("--max-pixels <n>", "pixels of an image, checked before it is decoded", positive, 50_000_000)
    .option("--max-connections <n>", "connections at a time", positive, 1024)
    .option("--timeout-ms <ms>", "time for a request; beyond: status 504", positive, 30_000)
    .option("--ready-timeout-ms <ms>", "time for the device to answer /readyz", positive, 10_000)
    .option("--drain-ms <ms>", "after SIGTERM, time for the requests under way", integer(0), 10_000);
}

export function addServeCommand(program: Command): void {
  const command = describeModelCommand(
    new EnvironmentCommand("serve"),
    "answer HTTP requests: embeddings, labels, search",
    "[models...]",
  )
    .option("--name <name=path>", "a model under a name of its own; may be repeated", namedPaths)
    .option("--host <address>", "address to listen at; 0.0.0.0 is reached from other machines", "127.0.0.1")
    .option("--port <n>", "port to listen at; 0 is any free one", integer(0, 65_535), 8080)
    .option(
      "--allow-hosts <hosts>",
      "host names that clients may use, *.example.com or * (default: any; on loopback, localhost)",
      list,
    )
    .option("--api-key <key>", "require this key as Authorization: Bearer KEY")
    .option(
      "--cors <origins>",
      "origins of web pages that may send requests, or *; separated by commas",
      list,
    )
    .option("--allow-image-hosts <hosts>", "fetch images by https from these hosts, *.example.com or *", list)
    .option("--index <file>", "an index of `eva-clip index`, for /v1/search")
    .option("--no-page", "without the page for people at /")
    .option("--base-path <path>", "the beginning of every path, such as /clip");
  addLimitFlags(command)
    .addOption(
      new Option("--log-level <level>", "least level of the JSON log on standard error")
        .choices(["debug", "info", "warn", "error", "silent"])
        .default("info"),
    )
    .addHelpText("after", "\nA variable can give each flag: EVA_CLIP_MAX_BATCH=64 is --max-batch 64.")
    .action(async (words: string[], flags: ServeFlags) => {
      const { serveModels } = require("./action") as typeof import("./action");
      await serveModels(words, flags);
    });
  program.addCommand(command);
}
