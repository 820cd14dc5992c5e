import { metadataIn } from "../../annotations_option";
import type { Annotations, Metadata, SampleContent } from "../../dataset";
import { decodeUtf8, parsePythonJson } from "../parse_json";
import { SampleError } from "../../../sample_error";
import type { ShardSample } from "./tar_shard";

function extensionsIn(keys: string): string[] {
  return keys
    .toLowerCase()
    .split(";")
    .map((key) => key.trim())
    .filter((key) => key !== "");
}

/** Extracts the image and captions from the samples of a shard. */
export class ShardContent {
  /** Extensions of the members to read. */
  readonly wanted: ReadonlySet<string>;
  private readonly imageKeys: readonly string[];
  private readonly textKeys: readonly string[];
  private readonly jsonTextKeys: readonly string[];

  /** Each key is a semicolon-separated list of alternatives; the first one present is used. */
  constructor(
    imageKey: string,
    textKey: string,
    jsonTextKey: string,
    private readonly annotations: Annotations = "captions",
  ) {
    this.imageKeys = extensionsIn(imageKey);
    this.textKeys = extensionsIn(textKey);
    this.jsonTextKeys = jsonTextKey.split(";");
    this.wanted = new Set([...this.imageKeys, ...this.textKeys, "json"]);
  }

  /** @throws SampleError for a sample without a usable image or caption, identified by `key` */
  contentOf(sample: ShardSample, key: string): SampleContent {
    const image = this.imageOf(sample, key);
    if (this.annotations === "captions") return { image, captions: this.captionsOf(sample, key) };
    return { image, captions: this.captionsIfAny(sample, key), metadata: this.fieldsOf(sample, key) };
  }

  private captionsIfAny(sample: ShardSample, key: string): readonly string[] {
    try {
      return this.captionsOf(sample, key);
    } catch (error) {
      if ((error as Partial<SampleError>).reason === "missing_caption") return [];
      throw error;
    }
  }

  private fieldsOf({ members }: ShardSample, key: string): Metadata {
    const json = members.get("json");
    if (json === undefined) return {};
    return metadataIn(fieldsIn(textOf(json, "json", key)) ?? {}, this.jsonTextKeys);
  }

  private imageOf({ members, problems }: ShardSample, key: string): Buffer {
    for (const extension of this.imageKeys) {
      const image = members.get(extension);
      if (image !== undefined) return image;
      refuseProblem(problems, extension, key);
    }
    throw new SampleError("missing_image", `${key} has no ${this.imageKeys.join(", ")} member`, { key });
  }

  private captionsOf({ members, problems }: ShardSample, key: string): string[] {
    for (const extension of this.textKeys) {
      const bytes = members.get(extension);
      if (bytes !== undefined) return [textOf(bytes, extension, key)];
      refuseProblem(problems, extension, key);
    }
    refuseProblem(problems, "json", key);
    const json = members.get("json");
    if (json === undefined) {
      const message = `${key} has neither a ${this.textKeys.join(", ")} nor a json member`;
      throw new SampleError("missing_caption", message, { key });
    }
    return this.captionsIn(textOf(json, "json", key), key);
  }

  private captionsIn(json: string, key: string): string[] {
    const fields = fieldsIn(json);
    if (fields === undefined) {
      throw new SampleError("missing_caption", `${key} has a json member that is not JSON`, { key });
    }
    for (const name of this.jsonTextKeys) {
      const caption = fields[name];
      if (typeof caption === "string") return [caption];
      const alternatives = Array.isArray(caption) ? caption.filter((one) => typeof one === "string") : [];
      if (alternatives.length > 0) return alternatives;
    }
    const names = this.jsonTextKeys.join(", ");
    throw new SampleError("missing_caption", `the json member of ${key} has no text in its field ${names}`, {
      key,
    });
  }
}

/** The fields of a JSON object, none for another value; undefined for text that is not JSON. */
function fieldsIn(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = parsePythonJson(json);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return undefined;
  }
}

function refuseProblem(problems: ShardSample["problems"], extension: string, key: string): void {
  const problem = problems.get(extension);
  if (problem === undefined) return;
  throw new SampleError(
    "unreadable_file",
    `the ${extension} member of ${key} is ${problem}, which is not supported`,
    { key },
  );
}

function textOf(bytes: Buffer, extension: string, key: string): string {
  const decoded = decodeUtf8(bytes);
  if (decoded !== undefined) return decoded;
  throw new SampleError("not_utf8", `the ${extension} member of ${key} is not UTF-8`, { key });
}
