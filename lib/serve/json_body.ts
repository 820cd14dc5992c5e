import type { z } from "zod";
import { ownArgument } from "../arguments";
import { isEvaClipError } from "../errors";
import { readBody } from "./body";
import type { ServiceContext } from "./context";
import { HttpError } from "./http_error";
import type { Call } from "./route";

/** Checks the fields of a request. @throws HttpError 400 naming the first wrong field */
export function checkFields<T extends z.ZodType>(value: unknown, schema: T): z.output<T> {
  try {
    return ownArgument("body", value, schema) as z.output<T>;
  } catch (error) {
    if (!isEvaClipError(error)) throw error;
    const param = String(error.details?.field ?? "").replace(/^body\.?/, "");
    const message = error.message.replace(/^body\./, "");
    throw new HttpError(400, message, { code: "invalid_request", ...(param && { param }) });
  }
}

/** The fields of a JSON body. @throws HttpError 400, 413, 415 */
export async function readJson<T extends z.ZodType>(
  call: Call,
  context: ServiceContext,
  schema: T,
): Promise<z.output<T>> {
  const body = await readBody(call, context);
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new HttpError(400, `the body is not JSON: ${(error as Error).message}`, { code: "invalid_json" });
  }
  return checkFields(value, schema);
}
