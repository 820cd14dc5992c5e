import type { ExportBatch } from "./export_target";

interface ArrowType {
  readonly listSize?: number;
}

interface Schema {
  readonly fields: readonly { readonly name: string; readonly type: ArrowType }[];
}

/** What is used of Apache Arrow, which comes with LanceDB. */
export interface Arrow {
  Int64: new () => ArrowType;
  Utf8: new () => ArrowType;
  Float32: new () => ArrowType;
  FixedSizeList: new (size: number, child: unknown) => ArrowType;
  Struct: new (fields: Schema["fields"]) => ArrowType;
  Field: new (name: string, type: ArrowType, nullable: boolean) => Schema["fields"][number];
  Schema: new (fields: readonly unknown[]) => Schema;
  Table: new (schema: Schema, batch: unknown) => unknown;
  RecordBatch: new (schema: Schema, data: unknown) => unknown;
  makeData(what: Record<string, unknown>): unknown;
  vectorFromArray(values: readonly (string | null)[], type: ArrowType): { readonly data: readonly unknown[] };
}

export function arrowSchema(
  { Field, FixedSizeList, Float32, Int64, Schema, Utf8 }: Arrow,
  dimensions: number,
): Schema {
  return new Schema([
    new Field("id", new Int64(), false),
    new Field("source", new Utf8(), false),
    new Field("caption", new Utf8(), true),
    new Field("metadata", new Utf8(), false),
    new Field("vector", new FixedSizeList(dimensions, new Field("item", new Float32(), true)), false),
  ]);
}

/** A batch as a table of Arrow; numbers are copied, not converted. */
export function arrowRows(arrow: Arrow, { entries, vectors }: ExportBatch): unknown {
  const [length, dimensions] = [entries.length, vectors[0]!.length];
  const numbers = new Float32Array(length * dimensions);
  vectors.forEach((vector, i) => numbers.set(vector, i * dimensions));
  const schema = arrowSchema(arrow, dimensions);
  const [id, , , , vector] = schema.fields;
  const text = (values: (string | null)[]) => arrow.vectorFromArray(values, new arrow.Utf8()).data[0];
  const children = [
    arrow.makeData({ type: id!.type, data: BigInt64Array.from(entries, (entry) => BigInt(entry.id)) }),
    text(entries.map(({ source }) => source)),
    text(entries.map(({ caption }) => caption ?? null)),
    text(entries.map(({ metadata }) => JSON.stringify(metadata))),
    arrow.makeData({
      type: vector!.type,
      length,
      nullCount: 0,
      child: arrow.makeData({ type: new arrow.Float32(), data: numbers }),
    }),
  ];
  const type = new arrow.Struct(schema.fields);
  const rows = arrow.makeData({ type, length, nullCount: 0, children });
  return new arrow.Table(schema, new arrow.RecordBatch(schema, rows));
}
