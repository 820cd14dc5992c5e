import { blockMeans, colorScale, heatMapImage, type Matrix, quantile, submatrix } from "./heat_map";
import { escapeHtml } from "./images";

/** The label and group of a row and column of the matrix. */
export interface MatrixItem {
  label: string;
  group: string;
}

/** A submatrix of a few concepts, labeled with their images and names. */
export interface MatrixDetail {
  /** Indices into the whole matrix, in display order. */
  indices: number[];
  /** PNG data URIs of their images. */
  images: string[];
}

const DETAIL_CELL = 17;
const DETAIL_LEFT = 30;
const DETAIL_BOTTOM = 112;
const WHOLE_SIDE = 640;
const WHOLE_LEFT = 130;
const MAX_PIXELS = 640;

/** Two heat maps: a few concepts by name, and all of them ordered by group. */
export async function matrixSection(
  matrix: Matrix,
  items: readonly MatrixItem[],
  detail: MatrixDetail,
): Promise<string> {
  const [lowest, highest] = [quantile(matrix, 0.02), quantile(matrix, 0.999)];
  const close = submatrix(matrix, detail.indices);
  const order = items
    .map((_, i) => i)
    .sort((a, b) => items[a]!.group.localeCompare(items[b]!.group) || a - b);
  const whole = blockMeans(submatrix(matrix, order), Math.ceil(matrix.size / MAX_PIXELS));
  const wholeEnds = [quantile(whole, 0.01), quantile(whole, 0.995)] as const;
  return `<h2>Similarity of images and names</h2>
<p class="quiet">Cosine similarity of every image (row) and every name (column). A model that has learned the pairs shows a bright diagonal;
bright blocks off the diagonal are kinds of concepts that it confuses.</p>
<div class="matrix">${detailSvg(await heatMapImage(close, lowest, highest), items, detail)}${scaleLine(lowest, highest)}</div>
<div class="matrix">${wholeSvg(
    await heatMapImage(whole, ...wholeEnds),
    order.map((i) => items[i]!.group),
  )}${scaleLine(...wholeEnds)}</div>`;
}

function detailSvg(image: string, items: readonly MatrixItem[], detail: MatrixDetail): string {
  const side = detail.indices.length * DETAIL_CELL;
  const names = detail.indices.map((index, i) => {
    const x = DETAIL_LEFT + (i + 0.5) * DETAIL_CELL + 3;
    return `<text transform="translate(${x} ${side + 8}) rotate(-55)" text-anchor="end">${escapeHtml(shortened(items[index]!.label))}</text>`;
  });
  const pictures = detail.images.map(
    (picture, i) =>
      `<image href="${picture}" x="${DETAIL_LEFT - DETAIL_CELL - 4}" y="${i * DETAIL_CELL + 0.5}" width="${DETAIL_CELL - 1}" height="${DETAIL_CELL - 1}"/>`,
  );
  return `<svg viewBox="-60 0 ${DETAIL_LEFT + side + 70} ${side + DETAIL_BOTTOM}" role="img" aria-label="Similarity of ${items.length} images and names">
<image class="cells" href="${image}" x="${DETAIL_LEFT}" y="0" width="${side}" height="${side}" preserveAspectRatio="none"/>
${pictures.join("")}${names.join("")}</svg>`;
}

function wholeSvg(image: string, groups: readonly string[]): string {
  const place = (index: number) => (index / groups.length) * WHOLE_SIDE;
  const labels = [...new Set(groups)].map((group) => {
    const [first, last] = [groups.indexOf(group), groups.lastIndexOf(group) + 1];
    const name = escapeHtml(group.replace("-", " and "));
    return (
      `<text x="${WHOLE_LEFT - 8}" y="${place((first + last) / 2).toFixed(1)}" dy=".35em" text-anchor="end">${name}</text>` +
      `<line class="grid" x1="${WHOLE_LEFT - 4}" x2="${WHOLE_LEFT}" y1="${place(last).toFixed(1)}" y2="${place(last).toFixed(1)}"/>`
    );
  });
  return `<svg viewBox="0 0 ${WHOLE_LEFT + WHOLE_SIDE} ${WHOLE_SIDE}" role="img" aria-label="Similarity of all images and names, by group">
<image class="cells" href="${image}" x="${WHOLE_LEFT}" y="0" width="${WHOLE_SIDE}" height="${WHOLE_SIDE}" preserveAspectRatio="none"/>
${labels.join("")}</svg>`;
}

function scaleLine(lowest: number, highest: number): string {
  return `<div class="scale">cosine ${lowest.toFixed(2)}<i style="background:${colorScale()}"></i>${highest.toFixed(2)}</div>`;
}

function shortened(label: string): string {
  return label.length > 24 ? `${label.slice(0, 23)}…` : label;
}
