import { schemeOf } from "../../image/image_input";
import { headerSize } from "../../image/header_size";
import { shortened } from "../../arguments";
import { isEvaClipError } from "../../errors";
import { fromBase64 } from "./base64";
import type { ServiceContext } from "../context";
import { HttpError } from "../http_error";
import { fetchImage } from "../remote/remote_image";
import type { Call } from "../route";

/** An image of a request: the bytes of a file, or text that holds or names them. */
export type ImageValue = string | Uint8Array;

const EXPECTED = "a data: URI or base64";
const MOST_HEADER = 1000;

function invalidImage(param: string, problem: string): HttpError {
  return new HttpError(400, `${param}: ${problem}`, { code: "invalid_image", param });
}

async function dataUriBytes(uri: string, param: string): Promise<Uint8Array> {
  const comma = uri.slice(0, MOST_HEADER).indexOf(",");
  if (comma < 0) throw invalidImage(param, "the data: URI has no comma between its type and its data");
  if (!/;\s*base64\s*$/i.test(uri.slice(0, comma)))
    throw invalidImage(param, "the data: URI is not in base64");
  const bytes = await fromBase64(uri.slice(comma + 1));
  if (!bytes) throw invalidImage(param, "the data: URI is not valid base64");
  return bytes;
}

async function remoteBytes(
  url: string,
  param: string,
  call: Call,
  { allowImageHosts, limits }: ServiceContext,
): Promise<Uint8Array> {
  if (allowImageHosts.length === 0) {
    const message = `${param}: images are not fetched; send ${EXPECTED}, or start the service with allowImageHosts (--allow-image-hosts)`;
    throw new HttpError(400, message, { code: "image_urls_not_allowed", param });
  }
  const { maxBodyBytes: maxBytes, timeoutMs } = limits;
  const { signal } = call;
  return fetchImage(url, { allowedHosts: allowImageHosts, maxBytes, timeoutMs, signal, param });
}

async function textBytes(text: string, param: string, call: Call, context: ServiceContext) {
  const scheme = schemeOf(text);
  if (scheme === "data") return dataUriBytes(text, param);
  if (scheme === "http" || scheme === "https") return remoteBytes(text, param, call, context);
  const bytes = scheme === undefined ? await fromBase64(text) : undefined;
  if (bytes) return bytes;
  const found = JSON.stringify(shortened(text));
  throw invalidImage(param, `expected ${EXPECTED}, found ${found}; files are never read by path`);
}

/**
 * The bytes of an image of a request, not yet decoded, of no more pixels than the limit.
 * @param param where it is in the request, for errors
 * @throws HttpError 400 naming `param`
 */
export async function imageBytes(
  value: ImageValue,
  param: string,
  call: Call,
  context: ServiceContext,
): Promise<Uint8Array> {
  const bytes = typeof value === "string" ? await textBytes(value, param, call, context) : value;
  const { width, height } = await naming(param, headerSize(bytes));
  const { maxPixels } = context.limits;
  if (width * height <= maxPixels) return bytes;
  const message = `${param}: the image has ${width} x ${height} pixels, more than the limit of ${maxPixels}`;
  throw new HttpError(400, message, { code: "image_too_large", param });
}

/** `work` on one input of a request: an error that is its data's fault names the input. */
export async function naming<T>(param: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isEvaClipError(error, "ERR_EVACLIP_DATA")) throw error;
    throw new HttpError(400, `${param}: ${error.message}`, { code: "invalid_image", param, cause: error });
  }
}
