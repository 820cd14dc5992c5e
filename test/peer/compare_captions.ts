// Compares the repaired text and the ids of captions with those written by make_captions.py:
// node -C eva-clip-source -r ts-node/register/transpile-only test/peer/compare_captions.ts FILE
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { fixText } from "../../lib/text/fix_text/fix_text";
import { tokenize } from "../../lib/text/tokenizer";

const SHOWN = 20;
const FEWEST_CAPTIONS = 50_000;

/** Escapes every character outside ASCII, so that invisible ones show. */
const show = (text: string) =>
  JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

async function main([file]: readonly string[]): Promise<number> {
  if (file === undefined) {
    console.error("usage: compare_captions.ts FILE");
    return 1;
  }
  let captions = 0;
  let different = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [caption, text, ids] = JSON.parse(line) as [string, string, number[]];
    captions++;
    const found = { text: fixText(caption), ids: Array.from(tokenize(caption)) };
    if (found.text === text && String(found.ids) === String(ids)) continue;
    different++;
    if (different > SHOWN) continue;
    console.log(
      `${show(caption)}\n  expected ${show(text)} [${ids}]\n  found    ${show(found.text)} [${found.ids}]`,
    );
  }
  console.log(`${captions} captions, ${different} with other text or ids than ftfy's and open_clip's`);
  return different === 0 && captions >= FEWEST_CAPTIONS ? 0 : 1;
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
