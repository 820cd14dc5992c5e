import type { z } from "zod";
import { argumentError } from "../../arguments";
import { readBody } from "./body";
import type { ServiceContext } from "../context";
import { type FormEntry, readForm } from "./form";
import { HttpError } from "../http_error";
import { parseJson } from "./json_text";
import type { Call } from "../route";

/** Makes of a form what the endpoint's JSON would be. */
export type FromForm = (entries: readonly FormEntry[]) => unknown;

/** Of a union's branches, the issue that is deepest: the branch that was probably meant. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors
    .flatMap(([first]) => (first ? [deepest(first)] : []))
    .reduce<z.core.$ZodIssue>((a, b) => (b.path.length > a.path.length ? b : a), { ...issue, path: [] });
  return { ...inner, path: [...issue.path, ...inner.path] };
}

function paramOf({ path, ...issue }: z.core.$ZodIssue): string {
  const whole = issue.code === "unrecognized_keys" ? [...path, issue.keys[0]!] : path;
  return whole.reduce<string>(
    (outer, key) =>
      typeof key === "number" ? `${outer}[${key}]` : outer ? `${outer}.${String(key)}` : String(key),
    "",
  );
}

/** A field that is null counts as left out. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
}

/** Checks the fields of a request. @throws HttpError 400 naming the first wrong field */
export function checkFields<T extends z.ZodType>(given: unknown, schema: T): z.output<T> {
  const value = withoutNulls(given);
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const { error } = schema.safeParse(value, { reportInput: true });
  const issue = deepest(error!.issues[0]!);
  const param = paramOf(issue);
  const message = argumentError("body", issue, schema).message.replace(/^body\./, "");
  throw new HttpError(400, message, { code: "invalid_request", ...(param && { param }) });
}

/** What a body holds, in the shape of JSON. @throws HttpError 400, 413, 415 */
async function readValue(call: Call, context: ServiceContext, fromForm: FromForm | undefined) {
  const contentType = call.request.headers.get("content-type") ?? "application/json";
  const type = contentType.split(";", 1)[0]!.trim().toLowerCase();
  if (type === "application/json") return parseJson(await readBody(call, context));
  if (fromForm && type === "multipart/form-data") {
    return fromForm(await readForm(call, context, contentType));
  }
  if (fromForm && (type.startsWith("image/") || type === "application/octet-stream")) {
    return fromForm([...call.url.searchParams, ["image", await readBody(call, context)]]);
  }
  const accepted = ["application/json", ...(fromForm ? ["multipart/form-data", "image/*"] : [])].join(", ");
  const message = `a body of content-type ${JSON.stringify(type)} is not read; ${accepted} ${fromForm ? "are" : "is"}`;
  throw new HttpError(415, message, { code: "unsupported_media_type", headers: { accept: accepted } });
}

/**
 * The fields of a request's body: of JSON, or, with `fromForm`, also of multipart/form-data or an image with the other
 * fields in the query.
 * @throws HttpError 400 naming the first wrong field, 413, 415
 */
export async function readFields<T extends z.ZodType>(
  call: Call,
  context: ServiceContext,
  schema: T,
  fromForm?: FromForm,
): Promise<z.output<T>> {
  return checkFields(await readValue(call, context, fromForm), schema);
}
