import { readFileSync } from "node:fs";
import { join } from "node:path";

const BYTES = 256;
const END_OF_WORD = "</w>";

/** The published names of bytes: a printable byte is its own name, the others are numbered from U+0100. */
function byteNames(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  const bytes = Array.from({ length: BYTES }, (_, byte) => byte);
  const others = bytes.filter((byte) => !isPrintable(byte)).map((_, i) => String.fromCharCode(BYTES + i));
  return [...bytes.filter(isPrintable).map((byte) => String.fromCharCode(byte)), ...others];
}

/** The tokens of CLIP's vocabulary in the order of their ids, with the names of vocabulary files. */
export function clipVocabulary(): string[] {
  const names = byteNames();
  const tokens = [...names, ...names.map((name) => name + END_OF_WORD)];
  const table = readFileSync(join(__dirname, "../../assets/clip_merges.bin"));
  for (let at = 0; at < table.length; at += 4) {
    tokens.push(tokens[table.readUInt16LE(at)]! + tokens[table.readUInt16LE(at + 2)]!);
  }
  return [...tokens, "<|startoftext|>", "<|endoftext|>"];
}
