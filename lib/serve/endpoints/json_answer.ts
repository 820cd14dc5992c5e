import { inTurns } from "../../image/turns";

/** Values written before the event loop may turn, each an embedding. */
const PER_SLICE = 8;
/** A longer answer is sent in parts: the event loop would wait for it to be joined. */
const MOST_JOINED = 2 ** 19;

/** A JSON array of `count` values, in parts; the event loop turns in between. */
export async function jsonArray(count: number, itemAt: (index: number) => unknown): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  await inTurns(count, PER_SLICE, (begin, end) => {
    const items = Array.from({ length: end - begin }, (_, i) => JSON.stringify(itemAt(begin + i)));
    parts.push(Buffer.from(`${begin > 0 ? "," : ""}${items.join(",")}`));
  });
  return [Buffer.from("["), ...parts, Buffer.from("]")];
}

/** An answer of JSON text in parts. */
export function jsonAnswer(...texts: readonly (string | readonly Buffer[])[]): Response {
  const parts = texts.flatMap((text) => (typeof text === "string" ? Buffer.from(text) : text));
  const length = parts.reduce((bytes, part) => bytes + part.length, 0);
  const body = length > MOST_JOINED ? ReadableStream.from(parts) : Buffer.concat(parts);
  const headers = { "content-type": "application/json", "content-length": String(length) };
  return new Response(body, { headers });
}

/** The fields of an object as text, to follow others: `,"model":"m"`. */
export function furtherFields(fields: object): string {
  return `,${JSON.stringify(fields).slice(1)}`;
}
