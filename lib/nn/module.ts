import { Parameter } from "../parameter";

/** A part of a model: it owns parameters, directly or through the modules and lists of modules in its fields. */
export abstract class Module {
  /** Every parameter below this module, in the order of its fields. */
  parameters(): Parameter[] {
    return Object.values(this).flatMap(parametersOf);
  }
}

function parametersOf(field: unknown): Parameter[] {
  if (field instanceof Parameter) return [field];
  if (field instanceof Module) return field.parameters();
  return Array.isArray(field) ? field.flatMap(parametersOf) : [];
}
