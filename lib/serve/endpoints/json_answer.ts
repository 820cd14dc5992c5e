import { inTurns } from "../../image/turns";

/** Values written before the event loop may turn, each an embedding. */
const PER_SLICE = 8;

/** A JSON array of `count` values, in parts; the event loop turns in between. */
export async function jsonArray(count: number, itemAt: (index: number) => unknown): Promise<Buffer[]> {
  const parts: Buffer[] = [Buffer.from("[")];
  await inTurns(count, PER_SLICE, (begin, end) => {
    for (let i = begin; i < end; i++)
      parts.push(Buffer.from(`${i > 0 ? "," : ""}${JSON.stringify(itemAt(i))}`));
  });
  parts.push(Buffer.from("]"));
  return parts;
}

/** An answer of JSON text in parts. */
export function jsonAnswer(...parts: readonly (string | readonly Buffer[])[]): Response {
  const body = Buffer.concat(parts.flatMap((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  const headers = { "content-type": "application/json", "content-length": String(body.length) };
  return new Response(body, { headers });
}

/** The fields of an object as text, to follow others: `,"model":"m"`. */
export function furtherFields(fields: object): string {
  return `,${JSON.stringify(fields).slice(1)}`;
}
