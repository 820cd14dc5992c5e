import { types } from "node:util";
import { describeValue, invalidArgument } from "../arguments";
import { EvaClipError } from "../errors";
import { stackRows } from "./encoder";
import { firstNotFinite, notFinite } from "./finite";
import { checkBytes, ownList } from "./own_inputs";

/** A vector of E numbers, or a list of them. */
export type Vectors = Float32Array | readonly Float32Array[];

/** The `count` rows of a matrix, each copied into its own buffer. */
export function splitRows(rows: Float32Array, count: number): Float32Array[] {
  const columns = rows.length / count;
  return Array.from({ length: count }, (_, i) => rows.slice(i * columns, (i + 1) * columns));
}

function checkFinite(name: string, values: Float32Array): void {
  const bad = firstNotFinite(values);
  if (bad >= 0) throw notFinite(`${name}[${bad}] is ${values[bad]}`, { field: name, index: bad });
}

/**
 * One or several vectors copied into a matrix [N, columns].
 * @param name of the argument, for messages
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for another type, `ERR_EVACLIP_SHAPE` for another length,
 *   `ERR_EVACLIP_NOT_FINITE` for NaN and infinity
 */
export function ownVectors(name: string, vectors: unknown, columns: number): Float32Array {
  const { list, isList } = ownList(name, vectors);
  const own = list.map((vector, i) => {
    const place = isList ? `${name}[${i}]` : name;
    if (!types.isFloat32Array(vector)) {
      const expected = isList ? "a Float32Array" : "a Float32Array or a list of them";
      throw invalidArgument(`${place} must be ${expected}, found ${describeValue(vector)}`, { field: place });
    }
    if (vector.length !== columns) {
      const message = `${place} must be one vector of ${columns} numbers, found ${vector.length}; several are a list`;
      throw new EvaClipError("ERR_EVACLIP_SHAPE", message, { expected: columns, actual: vector.length });
    }
    checkFinite(place, vector);
    return vector;
  });
  checkBytes(name, 4 * columns * own.length, own.length);
  return stackRows(own, columns);
}
