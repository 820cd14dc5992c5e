import { EvaClipError } from "eva-clip";
import { permute } from "eva-clip/data";
import type { DataSet } from "./data_set";
import { validationStyleFor } from "./styles";

/** Number of concepts held out of training in every style. */
export const UNSEEN_CONCEPTS = 100;

/** Fixed, so that runs with different `--seed` are tested on the same concepts. */
const SPLIT_SEED = 123;

/** A concept and its training drawings. */
export interface TrainingConcept {
  concept: number;
  /** Indices into `DataSet.drawings`, at least one. */
  drawings: number[];
}

/** A concept and its test drawing. */
export interface TestConcept {
  concept: number;
  drawing: number;
  /** Whether no drawing of this concept, in any style, is in the training set. */
  unseen: boolean;
}

/** A training and a test set. `train` has neither the style of `test` nor its unseen concepts. */
export interface Split {
  /** The style of the test set. */
  style: string;
  purpose: "test" | "validation";
  /** Styles of the training set. */
  trainingStyles: string[];
  train: TrainingConcept[];
  test: TestConcept[];
}

/**
 * Splits the data set for a run.
 *
 * `test` holds out one style and 100 concepts. `validation` holds out these too, and is tested on another style and 100
 * other concepts, so that hyperparameters chosen on it are independent of the test.
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

/** 100 random concepts that a style has and that are not `taken`. */
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
 * @param unseen concepts in the test set only
 * @param reserved concepts in neither set
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
