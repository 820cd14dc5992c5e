import type { Command } from "commander";
import { positive } from "../flag_values";
import { modelCommand } from "../model_flags";
import type { EncodeFlags } from "./flags";

export function addEncodeCommand(program: Command): void {
  modelCommand(program, "encode", "print the embeddings of images and captions", "[images...]")
    .option("--text <captions...>", "captions to encode", [])
    .option("--batch-size <n>", "samples encoded at a time", positive, 32)
    .action(async (words: string[], flags: EncodeFlags) => {
      const { encode } = require("./action") as typeof import("./action");
      await encode(words, flags);
    });
}
