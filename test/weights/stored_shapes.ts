import { type LayoutName, placeOf, rulesOfModel, storedShape } from "../../lib/weights/layouts/layout";
import { layouts } from "../../lib/weights/layouts/all_layouts";
import type { StoredShapes } from "../../lib/weights/config/shape_facts";
import type { ClipModel } from "../../lib/models/clip_model";

/** The names and shapes that a file of a model has in a layout; parameters that the layout does not hold are left out. */
export function storedShapesOf(model: ClipModel, name: LayoutName, storedText?: string): StoredShapes {
  const layout = layouts().find((candidate) => candidate.name === name)!;
  const rules = rulesOfModel(layout, model.config, storedText);
  const shapes = new Map<string, { shape: readonly number[] }>();
  for (const parameter of model.parameters()) {
    const place = placeOf(parameter.name, rules);
    for (const stored of place?.names ?? [])
      shapes.set(stored, { shape: storedShape(parameter.shape, place!) });
  }
  return shapes;
}
