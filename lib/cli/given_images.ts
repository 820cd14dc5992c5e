import { existsSync, statSync } from "node:fs";
import { invalidArgument, shortened } from "../arguments";
import { schemeOf } from "../image/image_input";
import { say } from "./output";

/** The names of files among the values of a flag. */
export function filesAmong(values: readonly string[]): string[] {
  return values.filter((value) => existsSync(value) && statSync(value).isFile());
}

/** Notes values of a flag that are files: images that were probably meant as arguments. */
export function noteFiles(flag: string, values: readonly string[]): void {
  const files = filesAmong(values);
  if (files.length === 0) return;
  say(`note: ${flag} took ${files.join(", ")} as text; give images before ${flag}, or after --`);
}

/** Refuses images that would have to be downloaded. */
export function expectLocal(images: readonly string[]): void {
  const remote = images.find((image) => !["file", "data", undefined].includes(schemeOf(image)));
  if (remote === undefined) return;
  throw invalidArgument(`${shortened(remote)} is a URL; images are read from local files: download it first`);
}
