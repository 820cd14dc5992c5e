import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "../http_error";

const digestOf = (text: string) => createHash("sha256").update(text).digest();

/**
 * Checks `Authorization: Bearer KEY` in a time that does not depend on the keys; without keys nothing is checked.
 * @returns throws HttpError 401
 */
export function keyCheck(keys: readonly string[]): (request: Request) => void {
  const digests = keys.map(digestOf);
  return ({ headers }) => {
    if (digests.length === 0) return;
    const [, given] = /^Bearer +(.+)$/i.exec(headers.get("authorization") ?? "") ?? [];
    const digest = digestOf(given ?? "");
    // Every key is compared.
    const isKnown = digests.map((known) => timingSafeEqual(known, digest)).includes(true);
    if (given !== undefined && isKnown) return;
    const message =
      given === undefined ? "an API key is needed: Authorization: Bearer KEY" : "the API key is not known";
    const scheme = { "www-authenticate": "Bearer" };
    throw new HttpError(401, message, { code: "invalid_api_key", headers: scheme });
  };
}
