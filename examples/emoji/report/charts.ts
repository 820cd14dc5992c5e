/** A curve over training steps. */
export interface Curve {
  title: string;
  /** One value per step, starting at step 1. */
  values: ArrayLike<number>;
  format: (value: number) => string;
  /** Ends of the axis; default: from the values. */
  lowest?: number;
  highest?: number;
  /** A horizontal reference line. */
  reference?: { value: number; label: string };
}

const WIDTH = 460;
const HEIGHT = 220;
const MARGIN = { left: 52, right: 14, top: 12, bottom: 30 };
const MAX_POINTS = 240;
const TICKS = 4;

/** One bucket of consecutive steps. */
interface Point {
  step: number;
  mean: number;
  low: number;
  high: number;
}

/** An SVG line chart: the mean of each bucket of steps, over a band from its lowest to its highest value. */
export function lineChart(curve: Curve): string {
  const points = bucketed(curve.values);
  const lows = points.map(({ low }) => low);
  const highs = points.map(({ high }) => high);
  const bottom = curve.lowest ?? Math.min(...lows);
  const ticks = axisTicks(bottom, curve.highest ?? Math.max(...highs, curve.reference?.value ?? bottom));
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const x = (step: number) =>
    MARGIN.left + ((step - 1) / Math.max(1, curve.values.length - 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value: number) =>
    HEIGHT - MARGIN.bottom - ((value - first) / (last - first)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const band = [
    ...points.map(({ step, high }) => at(x(step), y(high))),
    ...points.toReversed().map(({ step, low }) => at(x(step), y(low))),
  ].join(" ");
  const line = points.map(({ step, mean }) => at(x(step), y(mean))).join(" ");
  return `<figure class="chart"><figcaption>${curve.title} <b>${curve.format(points.at(-1)!.mean)}</b></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${curve.title} over the training steps">
${horizontalGrid(ticks, y, curve.format)}
${stepLabels(curve.values.length, x)}
${curve.reference ? referenceLine(curve.reference, y) : ""}
<polygon class="band" points="${band}"/>
<polyline class="line" points="${line}"/>
</svg></figure>`;
}

function at(x: number, y: number): string {
  return `${x.toFixed(1)},${y.toFixed(1)}`;
}

/** The values in at most 240 buckets of equal length. */
function bucketed(values: ArrayLike<number>): Point[] {
  const length = Math.max(1, Math.ceil(values.length / MAX_POINTS));
  const points: Point[] = [];
  for (let start = 0; start < values.length; start += length) {
    const end = Math.min(values.length, start + length);
    let [sum, low, high] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = start; i < end; i++) {
      sum += values[i]!;
      low = Math.min(low, values[i]!);
      high = Math.max(high, values[i]!);
    }
    points.push({ step: (start + 1 + end) / 2, mean: sum / (end - start), low, high });
  }
  return points;
}

/** Round numbers that enclose the range. */
function axisTicks(lowest: number, highest: number): number[] {
  const span = highest - lowest || Math.abs(highest) || 1;
  const rough = span / TICKS;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * magnitude).find((size) => size >= rough * 0.999)!;
  const first = Math.floor(lowest / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(highest / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function horizontalGrid(
  ticks: readonly number[],
  y: (value: number) => number,
  format: (value: number) => string,
): string {
  return ticks
    .map((tick) => {
      const height = y(tick).toFixed(1);
      return (
        `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${height}" y2="${height}"/>` +
        `<text class="tick" x="${MARGIN.left - 8}" y="${height}" dy=".35em" text-anchor="end">${format(tick)}</text>`
      );
    })
    .join("");
}

function stepLabels(steps: number, x: (step: number) => number): string {
  const inside = axisTicks(0, steps).filter((step) => step > 0 && step < steps * 0.93);
  return [1, ...inside, steps]
    .map((step) => {
      const anchor = step === 1 ? "start" : step === steps ? "end" : "middle";
      const text = `${Math.round(step).toLocaleString("en-US")}${step === steps ? " steps" : ""}`;
      return `<text class="tick" x="${x(step).toFixed(1)}" y="${HEIGHT - 10}" text-anchor="${anchor}">${text}</text>`;
    })
    .join("");
}

function referenceLine(reference: { value: number; label: string }, y: (value: number) => number): string {
  const height = y(reference.value).toFixed(1);
  const right = WIDTH - MARGIN.right;
  return (
    `<line class="reference" x1="${MARGIN.left}" x2="${right}" y1="${height}" y2="${height}"/>` +
    `<text class="tick" x="${right}" y="${height}" dy="-.5em" text-anchor="end">${reference.label}</text>`
  );
}
