import type { DemoResult } from "../result";
import type { Matrix } from "./heat_map";
import { type MatrixDetail, type MatrixItem, matrixSection } from "./matrix_section";
import {
  curveSection,
  type Example,
  exampleSection,
  type History,
  headline,
  protocolSection,
  resultSection,
} from "./sections";
import { STYLE_SHEET } from "./style";

/** The data of the report. */
export interface ReportData {
  result: DemoResult;
  batch: number;
  history: History;
  examples: Example[];
  matrix: Matrix;
  /** One per row and column of the matrix. */
  items: MatrixItem[];
  detail: MatrixDetail;
}

/** The report as one self-contained HTML file: no network, no script. */
export async function reportPage(data: ReportData): Promise<string> {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>EVA-CLIP emoji demo: ${data.result.testStyle}, seed ${data.result.seed}</title>
<style>${STYLE_SHEET}</style></head><body><main>
${headline(data.result)}
${resultSection(data.result)}
${curveSection(data.history, data.batch)}
${exampleSection(data.examples, data.result.metrics.names)}
${await matrixSection(data.matrix, data.items, data.detail)}
${protocolSection(data.result)}
</main></body></html>
`;
}
