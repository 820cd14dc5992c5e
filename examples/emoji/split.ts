import { EvaClipError } from "eva-clip";
import { permute } from "eva-clip/data";
import type { DataSet } from "./data_set";
import { validationStyleFor } from "./styles";

/** Concepts that no style shows in training. */
export const UNSEEN_CONCEPTS = 100;

/** Fixed, so that runs with different `--seed` are tested on the same concepts. */
const SPLIT_SEED = 123;

/** A concept and the drawings of it that training may use. */
export interface TrainingConcept {
  concept: number;
  /** Indices into `DataSet.drawings`, at least one. */
  drawings: number[];
}

/** A concept and the one drawing of it that the model is tested on. */
export interface TestConcept {
  concept: number;
  drawing: number;
  /** No drawing of this concept, in any style, was trained on. */
  unseen: boolean;
}

/** What to train on and what to test on. No style and no unseen concept of `test` appears in `train`. */
export interface Split {
  /** The style that `test` shows. */
  style: string;
  purpose: "test" | "validation";
  /** Styles that training sees. */
  trainingStyles: string[];
  train: TrainingConcept[];
  test: TestConcept[];
}

/**
 * Splits the data set for a run.
 *
 * `test` holds out one style and 100 concepts. `validation` holds out those as well, and is tested on another style and
 * 100 other concepts: choices made on it have seen nothing of the test.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` when the data set has no such style
 */
export function splitDataSet(data: DataSet, testStyle: string, purpose: Split["purpose"]): Split {
  if (!data.styles.includes(testStyle)) {
    throw new EvaClipError(
      "ERR_EVACLIP_INVALID_ARGUMENT",
      `--test-style: expected one of ${data.styles.join(", ")}; found "${testStyle}"`,
    );
  }
  const order = data.concepts.map((_, index) => permute(index, data.concepts.length, SPLIT_SEED));
  const testUnseen = unseenConcepts(data, testStyle, order, new Set());
  if (purpose === "test") return split(data, purpose, testStyle, new Set([testStyle]), testUnseen, new Set());
  const style = validationStyleFor(testStyle);
  const validationUnseen = unseenConcepts(data, style, order, testUnseen);
  return split(data, purpose, style, new Set([style, testStyle]), validationUnseen, testUnseen);
}

/** The first 100 concepts, in a random order, that a style draws. */
function unseenConcepts(
  data: DataSet,
  style: string,
  order: readonly number[],
  taken: ReadonlySet<number>,
): Set<number> {
  const drawn = new Set(
    data.drawings.filter((drawing) => drawing.style === style).map(({ concept }) => concept),
  );
  return new Set(
    order.filter((concept) => drawn.has(concept) && !taken.has(concept)).slice(0, UNSEEN_CONCEPTS),
  );
}

/**
 * @param unseen concepts that are tested and not trained on
 * @param reserved concepts that are neither
 */
function split(
  data: DataSet,
  purpose: Split["purpose"],
  style: string,
  hiddenStyles: ReadonlySet<string>,
  unseen: ReadonlySet<number>,
  reserved: ReadonlySet<number>,
): Split {
  const train = new Map<number, TrainingConcept>();
  const test: TestConcept[] = [];
  data.drawings.forEach((drawing, index) => {
    const { concept } = drawing;
    if (reserved.has(concept)) return;
    if (drawing.style === style) test.push({ concept, drawing: index, unseen: unseen.has(concept) });
    if (hiddenStyles.has(drawing.style) || unseen.has(concept)) return;
    const entry = train.get(concept) ?? { concept, drawings: [] };
    entry.drawings.push(index);
    train.set(concept, entry);
  });
  return {
    style,
    purpose,
    trainingStyles: data.styles.filter((name) => !hiddenStyles.has(name)),
    train: [...train.values()].sort((a, b) => a.concept - b.concept),
    test,
  };
}
