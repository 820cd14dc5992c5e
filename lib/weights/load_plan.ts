import { isFloatDtype, type StoredTensor, type TensorSource } from "../io/tensor_source";
import { textPrefix } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import type { Parameter } from "../parameter";
import {
  isDerived,
  type Place,
  type PlacedRule,
  parameterOf,
  placeOf,
  rulesFor,
  rulesOfModel,
  type StoredLayout,
  storedShape,
  variantIn,
} from "./layouts/layout";
import type { LoadReport, ParameterOrigin } from "./load_report";
import { Mismatch } from "./mismatch";
import { type Resizing, resizingOf, sameShape } from "./resize";

export interface LoadWeightsOptions {
  /** `image` and `text` do not change the other tower and the logit scale. Default `both`. */
  readonly towers?: "both" | "image" | "text";
  /** Parameters to leave unchanged, and tensors not to read: whole names, or ends of names after a dot. */
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

/** The steps of a load; nothing changes until it is carried out. */
export interface LoadPlan {
  readonly report: LoadReport;
  readonly assignments: readonly Assignment[];
  /** Parameters that keep their values, or some rows of them: they need initial values first. */
  readonly unfilled: readonly Parameter[];
}

/** Whether a list contains a name, or what it ends with after a dot. */
function isNamed(name: string, list: readonly string[]): boolean {
  return list.some((entry) => name === entry || name.endsWith(`.${entry}`));
}

/** A parameter's name, and its names in the file where they differ. */
function described(name: string, place: Place | undefined): string {
  if (place === undefined) return `${name} (not part of the layout)`;
  return place.names.join() === name ? name : `${name} (stored as ${place.names.join(", ")})`;
}

/**
 * Finds the values of every parameter of a model in a file, and checks that they match.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` naming missing and unexpected tensors and shape mismatches
 */
export function planLoad(
  model: ClipModel,
  source: Pick<TensorSource, "path" | "tensors">,
  stored: StoredLayout,
  options: LoadWeightsOptions = {},
): LoadPlan {
  const { towers = "both", skip = [] } = options;
  const { layout, storedText } = stored;
  const rules = rulesOfModel(layout, model.config, storedText);
  const mismatch = new Mismatch();
  const assignments: Assignment[] = [];
  const parameters: ParameterOrigin[] = [];
  const used = new Set<string>();

  for (const parameter of model.parameters()) {
    const { name, role } = parameter;
    const place = placeOf(name, rules);
    if (towers !== "both" && role?.tower !== towers) {
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
  // By the file's own rules: if only the text tower is loaded, the file's image tower may be of another family.
  const variant = variantIn(stored, (name) => source.tensors.has(name));
  const text = { text: textPrefix(model.config), storedText };
  const fileRules = rulesFor(layout, stored.imageTower, variant, text);
  const { derived, unused, unexpected } = sortLeft(left, layout.foreign ?? [], fileRules, options);
  mismatch.unexpected.push(...unexpected);
  mismatch.check(source.path);

  const report = { path: source.path, layout: layout.name, parameters, derived, unused };
  const whole = new Set(assignments.filter(({ resizing }) => !resizing?.keepsRows).map((a) => a.parameter));
  return { report, assignments, unfilled: model.parameters().filter((parameter) => !whole.has(parameter)) };
}

function mayMiss(name: string, { allowMissing = [] }: LoadWeightsOptions): boolean {
  return allowMissing === true || isNamed(name, allowMissing);
}

/** Sorts the tensors that fill no parameter: derived from the configuration, not asked for, or unexpected. */
function sortLeft(
  names: readonly string[],
  foreign: readonly string[],
  rules: readonly PlacedRule[],
  { towers = "both", skip = [] }: LoadWeightsOptions,
): Record<"derived" | "unused" | "unexpected", string[]> {
  const isUnasked = (stored: string) => {
    if (foreign.includes(stored) || isNamed(stored, skip)) return true;
    const parameter = parameterOf(stored, rules);
    if (parameter === undefined) return false;
    return isNamed(parameter.name, skip) || (towers !== "both" && parameter.tower !== towers);
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
    resizing = isPlain ? resizingOf(parameter, expected, shape) : undefined;
    if (resizing) return;
    mismatch.addShape(name, expected, shape);
  });
  return { parameter, tensors, transpose: place.transpose, resizing };
}
