import { existsSync, statSync } from "node:fs";
import { invalidArgument, shortened } from "../arguments";
import { schemeOf } from "../image/image_input";
import { say } from "./output";

/** The names of files among the words that a flag took. */
export function filesAmong(words: readonly string[]): string[] {
  return words.filter((word) => existsSync(word) && statSync(word).isFile());
}

/** Says so when what a flag took looks like images that were meant to be arguments. */
export function noteFiles(flag: string, words: readonly string[]): void {
  const files = filesAmong(words);
  if (files.length === 0) return;
  say(`note: ${flag} took ${files.join(", ")} as text; give images before ${flag}, or after --`);
}

/** Refuses images that would have to be fetched. */
export function expectLocal(images: readonly string[]): void {
  const remote = images.find((image) => !["file", "data", undefined].includes(schemeOf(image)));
  if (remote === undefined) return;
  throw invalidArgument(`${shortened(remote)} is a URL; images are read from local files: download it first`);
}
