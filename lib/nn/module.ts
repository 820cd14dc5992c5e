import { EvaClipError } from "../errors";
import { Parameter } from "../parameter";

/**
 * A part of a model. Its parameters are those in its fields, in the modules in its fields, and in arrays of either. The
 * order of fields is the order of `parameters()`, which initial values depend on. A module that keeps them elsewhere,
 * such as in `#private` fields, overrides `parameters()`.
 */
export abstract class Module {
  /**
   * Every parameter of this module, each once, in the order of its fields.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` naming a field that keeps parameters in an object or a Map
   */
  parameters(): Parameter[] {
    const found = Object.entries(this).flatMap(([name, field]) => this.parametersOf(name, field));
    return [...new Set(found)];
  }

  /** Frees the memory of all parameters. */
  dispose(): void {
    for (const parameter of this.parameters()) parameter.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private parametersOf(name: string, field: unknown): Parameter[] {
    if (field instanceof Parameter) return [field];
    if (field instanceof Module) return field.parameters();
    if (Array.isArray(field)) return field.flatMap((element) => this.parametersOf(name, element));
    if (!valuesOf(field).some((value) => value instanceof Parameter || value instanceof Module)) return [];
    const message = `${this.constructor.name}.${name} keeps parameters in an object: use fields or arrays`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { field: name });
  }
}

function valuesOf(field: unknown): unknown[] {
  if (typeof field !== "object" || field === null || ArrayBuffer.isView(field)) return [];
  return field instanceof Map || field instanceof Set ? [...field.values()] : Object.values(field);
}
