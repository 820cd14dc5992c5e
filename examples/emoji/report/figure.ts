import { percent } from "../result";
import { escapeHtml } from "./images";
import type { Example } from "./sections";

const COLUMNS = 2;
const CELL = { width: 430, height: 108 };
const PICTURE = 84;
const BAR = { left: 104, width: 300, height: 22, step: 28 };
const COLORS = { right: "#1a7f4b", wrong: "#8b949e", text: "#1f2328", back: "#ffffff", bar: "#eef1f4" };

/** One drawing, the model's predictions, and a bar for the probability of each. */
function cell({ image, label, unseen, names }: Example, index: number): string {
  const x = 12 + (index % COLUMNS) * CELL.width;
  const y = 12 + Math.floor(index / COLUMNS) * CELL.height;
  const title = `${label}${unseen ? " (concept not in training)" : ""}`;
  const bars = names.map((name, i) => {
    const top = 4 + i * BAR.step;
    const color = name.right ? COLORS.right : COLORS.wrong;
    const filled = Math.max(2, name.probability * BAR.width).toFixed(1);
    return `<rect x="${BAR.left}" y="${top}" width="${BAR.width}" height="${BAR.height}" rx="3" fill="${COLORS.bar}"/>
<rect x="${BAR.left}" y="${top}" width="${filled}" height="${BAR.height}" rx="3" fill="${color}" fill-opacity="0.35"/>
<text x="${BAR.left + 8}" y="${top + 16}"${name.right ? ' font-weight="bold"' : ""}>${escapeHtml(name.label)}</text>
<text x="${BAR.left + BAR.width - 8}" y="${top + 16}" text-anchor="end">${percent(name.probability)}</text>`;
  });
  return `<g transform="translate(${x} ${y})"><title>${escapeHtml(title)}</title>
<image href="${image}" width="${PICTURE}" height="${PICTURE}"/>
${bars.join("\n")}
</g>`;
}

/** Test drawings with their three most probable names, as one SVG with inline images. */
export function exampleFigure(examples: readonly Example[]): string {
  const width = 12 + COLUMNS * CELL.width;
  const height = 12 + Math.ceil(examples.length / COLUMNS) * CELL.height;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"
font-family="Helvetica, Arial, sans-serif" font-size="14" fill="${COLORS.text}">
<rect width="100%" height="100%" rx="8" fill="${COLORS.back}"/>
${examples.map(cell).join("\n")}
</svg>
`;
}
