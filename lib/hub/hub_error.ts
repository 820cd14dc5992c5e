import type { ErrorCode } from "../error_codes";
import { EvaClipError } from "../errors";
import { type HubReference, hubName } from "./hub_reference";

type HubCode = Extract<ErrorCode, `ERR_EVACLIP_HUB_${string}`>;

/** An error of the hub, with what was asked for and the HTTP status, if there was an answer. */
export function hubError(
  code: HubCode,
  message: string,
  { repository, revision, file }: HubReference,
  details: Record<string, unknown> = {},
  cause?: unknown,
): EvaClipError {
  const asked = { repository, ...(revision && { revision }), ...(file && { file }) };
  return new EvaClipError(code, message, { ...asked, ...details }, cause === undefined ? {} : { cause });
}

const WHAT_MAY_BE = "check its name; if it is private or gated, ";

function tokenAdvice(hasToken: boolean): string {
  return hasToken
    ? "request access on its page, and check that the token of HF_TOKEN may read it"
    : "set HF_TOKEN to an access token, or log in with `hf auth login`";
}

/** The error of an answer that is not a success: what is missing or denied, and what to do. */
export function answerError(
  { status, headers, url }: Pick<Response, "status" | "headers" | "url">,
  asked: HubReference,
  hasToken: boolean,
): EvaClipError {
  const { repository, revision = "main", file } = asked;
  const reason = headers.get("x-error-code") ?? "";
  const details = { status, url: url.split("?")[0] };
  const missing = (message: string) => hubError("ERR_EVACLIP_HUB_NOT_FOUND", message, asked, details);
  const denied = (message: string) => hubError("ERR_EVACLIP_HUB_DENIED", message, asked, details);
  if (reason === "RevisionNotFound") return missing(`${repository} has no revision ${revision}`);
  if (reason === "EntryNotFound" || (status === 404 && file !== undefined))
    return missing(`${repository} has no file ${file} at revision ${revision}`);
  if (reason === "GatedRepo") return denied(`${repository} is gated: ${tokenAdvice(hasToken)}`);
  if (status === 404)
    return missing(`the hub has no repository ${repository}: ${WHAT_MAY_BE}${tokenAdvice(hasToken)}`);
  // For a repository that it does not show, the hub answers 401 without a token, whether it exists or not.
  if (status === 401)
    return denied(
      `the hub denies access to ${repository}, or has no such repository: ${WHAT_MAY_BE}${tokenAdvice(hasToken)}`,
    );
  if (status === 403) return denied(`access to ${repository} is denied: ${tokenAdvice(hasToken)}`);
  return unavailable({ status, url }, asked);
}

/** The error of an answer that says nothing about what was asked for. */
export function unavailable(
  { status, url }: Pick<Response, "status" | "url">,
  asked: HubReference,
): EvaClipError {
  const { origin, pathname } = new URL(url);
  const advice = status === 429 ? ": too many requests; try again later" : "; try again later";
  const message = `${origin} answers ${status} for ${hubName(asked)}${advice}`;
  return hubError("ERR_EVACLIP_HUB_UNAVAILABLE", message, asked, { status, url: origin + pathname });
}
