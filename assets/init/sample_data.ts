// Draws pictures of colored shapes and writes their captions, so that there is something to train on. Replace data/ with
// your own: a .csv file with the columns `filepath` and `title`, or any other kind of data set that eva-clip reads.
import { mkdir, writeFile } from "node:fs/promises";
import sharp from "sharp";

export const COLORS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "white"];
const OUTLINES = {
  circle: '<circle r="40"/>',
  square: '<rect x="-36" y="-36" width="72" height="72"/>',
  triangle: '<polygon points="0,-42 40,34 -40,34"/>',
  star: '<polygon points="0,-46 13,-15 46,-14 20,8 29,41 0,22 -29,41 -20,8 -46,-14 -13,-15"/>',
  cross: '<path d="M-12,-42h24v30h30v24h-30v30h-24v-30h-30v-24h30z"/>',
};

export type Shape = keyof typeof OUTLINES;
export const SHAPES = Object.keys(OUTLINES) as Shape[];

export const captionOf = (color: string, shape: Shape): string => `a ${color} ${shape}`;

/** A PNG of 96 × 96 pixels: the shape at a random place, in a random size and rotation, on a gray of random brightness. */
export async function drawing(color: string, shape: Shape): Promise<Buffer> {
  const between = (least: number, most: number) => least + Math.random() * (most - least);
  const gray = Math.round(between(90, 190));
  const place = `translate(${between(40, 56)} ${between(40, 56)}) rotate(${between(-15, 15)}) scale(${between(0.65, 0.95)})`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96">
    <rect width="96" height="96" fill="rgb(${gray},${gray},${gray})"/>
    <g fill="${color}" transform="${place}">${OUTLINES[shape]}</g>
  </svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

/** Writes `repeats` drawings of each color and shape into `folder`, and its captions.csv. */
async function writeSampleData(folder: string, repeats: number): Promise<number> {
  await mkdir(folder, { recursive: true });
  const rows = ["filepath,title"];
  for (let i = 0; i < repeats; i++) {
    for (const color of COLORS) {
      for (const shape of SHAPES) {
        const name = `${color}-${shape}-${i}.png`;
        await writeFile(`${folder}/${name}`, await drawing(color, shape));
        rows.push(`${name},${captionOf(color, shape)}`);
      }
    }
  }
  await writeFile(`${folder}/captions.csv`, `${rows.join("\n")}\n`);
  return rows.length - 1;
}

if (require.main === module) {
  void writeSampleData("data", 25).then((count) =>
    console.log(`data/captions.csv: ${count} pictures with captions`),
  );
}
