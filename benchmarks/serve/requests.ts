import { randomUUID } from "node:crypto";
import type { Sent } from "./http_client";
import type { Planned, Workload } from "./workload";

const JSON_TYPE = { "content-type": "application/json" };
const PATH = "/v1/embeddings";

const dataUri = (image: Buffer) => `data:image/jpeg;base64,${image.toString("base64")}`;

export function jsonRequest(body: unknown): Sent {
  return { path: PATH, headers: JSON_TYPE, body: Buffer.from(JSON.stringify(body)) };
}

/** A form of text fields and image files. */
export function formRequest(fields: readonly (readonly [name: string, value: string | Buffer])[]): Sent {
  const boundary = randomUUID();
  const parts = fields.flatMap(([name, value]) => {
    const isFile = typeof value !== "string";
    const file = isFile ? '; filename="image.jpg"\r\nContent-Type: image/jpeg' : "";
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`;
    return [Buffer.from(head), isFile ? value : Buffer.from(value), Buffer.from("\r\n")];
  });
  const body = Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
  return { path: PATH, headers: { "content-type": `multipart/form-data; boundary=${boundary}` }, body };
}

export function rawRequest(image: Buffer, model: string, type = "image/jpeg"): Sent {
  const query = new URLSearchParams({ model, encoding_format: "base64" });
  return { path: `${PATH}?${query}`, headers: { "content-type": type }, body: image };
}

/** The bytes of a planned request. */
export function encodeRequest({ form, samples }: Planned, { model, images, texts }: Workload): Sent {
  const own = samples.map(({ kind, index }) => (kind === "image" ? images[index]! : texts[index]!));
  const encoding = { model, encoding_format: "base64" };
  switch (form) {
    case "raw":
      return rawRequest(own[0] as Buffer, model);
    case "multipart":
      return formRequest([...Object.entries(encoding), ...own.map((image) => ["image", image] as const)]);
    case "json":
      return jsonRequest({ ...encoding, modality: "image", input: dataUri(own[0] as Buffer) });
    case "text":
      return jsonRequest({ model, input: own[0], encoding_format: "float" });
    default:
      return jsonRequest({
        ...encoding,
        input: own.map((sample) =>
          typeof sample === "string" ? { text: sample } : { image: dataUri(sample) },
        ),
      });
  }
}

/** The embeddings of an answer. */
export function embeddingsOf(body: Buffer): Float32Array[] {
  const { data } = JSON.parse(body.toString()) as { data: { embedding: string | number[] }[] };
  return data.map(({ embedding }) => {
    if (typeof embedding !== "string") return Float32Array.from(embedding);
    const bytes = new Uint8Array(Buffer.from(embedding, "base64"));
    return new Float32Array(bytes.buffer);
  });
}
