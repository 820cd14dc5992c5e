import { join } from "node:path";
import type { DemoResult } from "../result";
import { replaceFile } from "../write_file";
import { exampleFigure } from "./figure";
import { reportPage } from "./page";
import { drawDetail, drawExamples, type Scored } from "./pictures";
import type { Example, History } from "./sections";

const SHOWN = { seen: 36, unseen: 12, matrixPerGroup: 5 } as const;
/** The first of these are also in the figure. */
const FIGURE = { seen: 7, unseen: 3 } as const;

/**
 * Writes `result.json`, `report.html` and `examples.svg` to a folder.
 *
 * @returns the examples that the report shows
 */
export async function writeReport(
  folder: string,
  result: DemoResult,
  scored: Scored,
  history: History,
  batch: number,
): Promise<Example[]> {
  const examples = await drawExamples(scored, result.seed, SHOWN.seen, SHOWN.unseen);
  const items = scored.split.test.map(({ concept }) => {
    const { label, group } = scored.data.concepts[concept]!;
    return { label, group };
  });
  const page = await reportPage({
    result,
    batch,
    history,
    examples,
    matrix: { values: scored.cosines, size: items.length },
    items,
    detail: await drawDetail(scored, result.seed, SHOWN.matrixPerGroup),
  });
  await replaceFile(join(folder, "result.json"), `${JSON.stringify(result, undefined, 2)}\n`);
  await replaceFile(join(folder, "report.html"), page);
  const shown = [
    ...examples.slice(0, FIGURE.seen),
    ...examples.slice(SHOWN.seen, SHOWN.seen + FIGURE.unseen),
  ];
  await replaceFile(join(folder, "examples.svg"), exampleFigure(shown));
  return examples;
}
