import { type Command, InvalidArgumentError } from "commander";
import { outputPath, positive } from "../flag_values";
import { modelCommand } from "../model_flags";
import { isEmbeddingsFile } from "./embeddings_file";
import type { EncodeFlags } from "./flags";

function embeddingsPath(text: string): string {
  if (isEmbeddingsFile(text) || text === "") return outputPath(text);
  throw new InvalidArgumentError("It must end in .npy or .jsonl.");
}

export function addEncodeCommand(program: Command): void {
  modelCommand(program, "encode", "compute the embeddings of images and captions", "[images...]")
    .option("--text <captions...>", "captions to encode", [])
    .option("--batch-size <n>", "samples encoded at a time", positive, 32)
    .option(
      "--out <file>",
      "write embeddings as they are computed: a .npy array f32 [rows, dim], or .jsonl with one object per line (default: print them)",
      embeddingsPath,
    )
    .action(async (words: string[], flags: EncodeFlags) => {
      const { encode } = require("./action") as typeof import("./action");
      await encode(words, flags);
    });
}
