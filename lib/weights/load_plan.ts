import { isFloatDtype, type StoredTensor, type TensorSource } from "../io/tensor_source";
import type { ClipModel } from "../models/clip_model";
import type { Parameter } from "../parameter";
import {
  isDerived,
  type Layout,
  type Naming,
  namingOf,
  type Place,
  parameterOf,
  placeOf,
  type StoredLayout,
  storedShape,
  towerOf,
} from "./layouts/layout";
import type { LoadReport, ParameterOrigin } from "./load_report";
import { Mismatch } from "./mismatch";
import { type Resizing, resizingOf, sameShape } from "./resize";

export interface LoadWeightsOptions {
  /** `image` and `text` leave the other tower and the logit scale alone. Default `both`. */
  readonly towers?: "both" | "image" | "text";
  /** Parameters to leave as they are, and tensors to leave in the file: whole names, or ends of names after a dot. */
  readonly skip?: readonly string[];
  /** Parameters that the file may lack, named as in `skip`; `true`: all. */
  readonly allowMissing?: readonly string[] | true;
  readonly signal?: AbortSignal;
}

/** A parameter and the tensors that fill it. */
export interface Assignment {
  readonly parameter: Parameter;
  readonly tensors: readonly StoredTensor[];
  readonly transpose: boolean;
  readonly resizing: Resizing | undefined;
}

/** What a load will do; nothing is changed until it is carried out. */
export interface LoadPlan {
  readonly report: LoadReport;
  readonly assignments: readonly Assignment[];
  /** Parameters that keep what they hold, all of it or some rows: they need initial values first. */
  readonly unfilled: readonly Parameter[];
}

/** Whether a list holds a name, or what the name ends with after a dot. */
function isNamed(name: string, list: readonly string[]): boolean {
  return list.some((entry) => name === entry || name.endsWith(`.${entry}`));
}

/** A parameter's name, with the names it would have in the file where they are others. */
function described(name: string, place: Place | undefined): string {
  if (place === undefined) return `${name} (which the layout does not hold)`;
  return place.names.join() === name ? name : `${name} (stored as ${place.names.join(", ")})`;
}

/**
 * Decides for every parameter of a model where in a file its values are, and checks that nothing is amiss.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming tensors that are missing, unknown, or of another shape
 */
export function planLoad(
  model: ClipModel,
  source: Pick<TensorSource, "path" | "tensors">,
  { layout, storedText }: StoredLayout,
  options: LoadWeightsOptions = {},
): LoadPlan {
  const { towers = "both", skip = [] } = options;
  const naming = namingOf(model.config, storedText);
  const rules = layout.rules(naming);
  const mismatch = new Mismatch();
  const assignments: Assignment[] = [];
  const parameters: ParameterOrigin[] = [];
  const used = new Set<string>();

  for (const parameter of model.parameters()) {
    const { name } = parameter;
    const place = placeOf(name, rules);
    if (towers !== "both" && towerOf(name) !== towers) {
      parameters.push({ name, origin: "skipped", from: [], note: "not asked for" });
    } else if (isNamed(name, skip)) {
      parameters.push({ name, origin: "skipped", from: [], note: "skipped by name" });
    } else if (place === undefined || !place.names.every((stored) => source.tensors.has(stored))) {
      parameters.push({ name, origin: "missing", from: [], note: "not in the file" });
      if (!mayMiss(name, options)) mismatch.missing.push(described(name, place));
    } else {
      for (const stored of place.names) used.add(stored);
      const assignment = assign(parameter, place, source.tensors, mismatch);
      const { resizing } = assignment;
      assignments.push(assignment);
      const origin = resizing ? "resized" : "loaded";
      parameters.push({ name, origin, from: place.names, ...(resizing && { note: resizing.note }) });
    }
  }
  const left = [...source.tensors.keys()].filter((name) => !used.has(name));
  // The file's image tower may be of another family than the model's, when only the text tower is wanted.
  const image = layout.imageFamily((name) => source.tensors.has(name));
  const { derived, unused, unexpected } = sortLeft(left, layout, { ...naming, image }, options);
  mismatch.unexpected.push(...unexpected);
  mismatch.check(source.path);

  const report = { path: source.path, layout: layout.name, parameters, derived, unused };
  const whole = new Set(assignments.filter(({ resizing }) => !resizing?.keepsRows).map((a) => a.parameter));
  return { report, assignments, unfilled: model.parameters().filter((parameter) => !whole.has(parameter)) };
}

function mayMiss(name: string, { allowMissing = [] }: LoadWeightsOptions): boolean {
  return allowMissing === true || isNamed(name, allowMissing);
}

/** Sorts the tensors that fill no parameter: some follow from the configuration, some were not asked for. */
function sortLeft(
  names: readonly string[],
  { rules, foreign = [] }: Layout,
  naming: Naming,
  { towers = "both", skip = [] }: LoadWeightsOptions,
): Record<"derived" | "unused" | "unexpected", string[]> {
  const fileRules = rules(naming);
  const isUnasked = (stored: string) => {
    if (foreign.includes(stored) || isNamed(stored, skip)) return true;
    const name = parameterOf(stored, fileRules);
    if (name === undefined) return false;
    return isNamed(name, skip) || (towers !== "both" && towerOf(name) !== towers);
  };
  const others = names.filter((name) => !isDerived(name));
  return {
    derived: names.filter(isDerived),
    unused: others.filter(isUnasked),
    unexpected: others.filter((name) => !isUnasked(name)),
  };
}

function assign(
  parameter: Parameter,
  place: Place,
  stored: ReadonlyMap<string, StoredTensor>,
  mismatch: Mismatch,
): Assignment {
  const expected = storedShape(parameter.shape, place);
  const tensors = place.names.map((name) => stored.get(name)!);
  let resizing: Resizing | undefined;
  tensors.forEach(({ dtype, shape }, i) => {
    const name = place.names[i]!;
    if (!isFloatDtype(dtype)) mismatch.notFloat.push(`${name} (${dtype})`);
    if (sameShape(shape, expected)) return;
    const isPlain = tensors.length === 1 && !place.transpose;
    resizing = isPlain ? resizingOf(parameter.name, expected, shape) : undefined;
    if (resizing) return;
    mismatch.addShape(name, expected, shape);
  });
  return { parameter, tensors, transpose: place.transpose, resizing };
}
