import { setTimeout as pause } from "node:timers/promises";
import { type EvaClipError, isEvaClipError } from "../errors";
import { answerError, hubError, unavailable } from "./hub_error";
import type { HubReference } from "./hub_reference";
import type { HubSettings } from "./hub_settings";

/** Waits before further attempts; a server's Retry-After replaces them. */
export const RETRY_WAITS_MS: readonly number[] = [300, 1000, 3000];
/** A longer Retry-After than this ends the attempts. */
const LONGEST_WAIT_MS = 60_000;

const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Nothing answers at the address: another attempt right away would not be answered either. */
const NO_SERVER = new Set(["ECONNREFUSED", "ENOTFOUND", "ENETUNREACH", "EHOSTUNREACH"]);

export interface HubRequest extends Pick<HubSettings, "token" | "silenceMs" | "endpoint"> {
  /** What is asked for, for messages. */
  readonly asked: HubReference;
  readonly signal?: AbortSignal | undefined;
}

/** The system's code of a failed request, such as ECONNREFUSED. */
function codeOf(error: unknown): string {
  const { cause, code } = error as { cause?: unknown; code?: unknown };
  if (typeof code === "string") return code;
  const inner = cause as { code?: unknown; errors?: { code?: unknown }[] } | undefined;
  return String(inner?.code ?? inner?.errors?.[0]?.code ?? "");
}

function reasonOf(error: unknown): string {
  const { name, message } = error as Error;
  return name === "TimeoutError" ? "no answer in time" : codeOf(error) || message;
}

/** The error of a request that got no answer. */
export function unreachable(error: unknown, { asked, endpoint }: HubRequest): EvaClipError {
  const message =
    `cannot reach the hub at ${endpoint} for ${asked.repository}: ${reasonOf(error)}; check the connection and HF_ENDPOINT, ` +
    "or set HF_HUB_OFFLINE=1 to use the cache alone";
  return hubError("ERR_EVACLIP_HUB_UNAVAILABLE", message, asked, { cause: codeOf(error) }, error);
}

/** Retry-After in milliseconds: a number of seconds or a date. */
function retryAfter(headers: Headers): number | undefined {
  const given = headers.get("retry-after");
  if (given === null) return undefined;
  const seconds = Number(given);
  const wait = Number.isNaN(seconds) ? Date.parse(given) - Date.now() : 1000 * seconds;
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

/** One attempt: the response, or the error and the milliseconds to wait before another attempt, if that may help. */
async function attempt(
  input: string | URL | Request,
  init: RequestInit,
  request: HubRequest,
): Promise<Response | { error: Error; wait: number | undefined; isTemporary: boolean }> {
  const { token, silenceMs, signal, asked } = request;
  const headers = new Headers(init.headers);
  headers.set("user-agent", "eva-clip");
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  // The time limit is for the answer's headers: a body may take as long as it keeps coming.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new DOMException("no answer", "TimeoutError")), silenceMs);
  try {
    const signals = [late.signal, ...[signal, init.signal].filter((each) => each != null)];
    const response = await fetch(input, { ...init, headers, signal: AbortSignal.any(signals) });
    if (response.ok) return response;
    await response.body?.cancel();
    // The hub's links to where files are stored expire: another attempt gets a new one.
    const isLink = new URL(response.url).origin !== new URL(request.endpoint).origin;
    const error = isLink ? unavailable(response, asked) : answerError(response, asked, token !== undefined);
    const isTemporary = isLink || TEMPORARY.has(response.status);
    return { error, wait: retryAfter(response.headers), isTemporary };
  } catch (error) {
    signal?.throwIfAborted();
    const isTemporary = !NO_SERVER.has(codeOf(error));
    return { error: unreachable(error, request), wait: undefined, isTemporary };
  } finally {
    clearTimeout(timer);
  }
}

/** Waits. @throws the signal's reason when it is aborted */
export async function pauseFor(milliseconds: number, { signal }: Pick<HubRequest, "signal">): Promise<void> {
  await pause(milliseconds, undefined, { signal }).catch(() => signal?.throwIfAborted());
}

/**
 * A `fetch` for the hub: sends the token (which no other host gets after a redirect), limits the time until an answer, and
 * repeats what may succeed later.
 * @returns a function whose responses are successes; it rejects with `ERR_EVACLIP_HUB_…`, or the signal's reason
 */
export function hubFetch(request: HubRequest): typeof fetch {
  return async (input, init = {}) => {
    for (let failures = 0; ; failures++) {
      request.signal?.throwIfAborted();
      const result = await attempt(input, init, request);
      if (result instanceof Response) return result;
      const wait = result.wait ?? RETRY_WAITS_MS[failures];
      const isLast = failures >= RETRY_WAITS_MS.length || wait === undefined || wait > LONGEST_WAIT_MS;
      if (!result.isTemporary || isLast) throw result.error;
      await pauseFor(wait, request);
    }
  };
}

/** Whether an error says that the hub does not answer at present, rather than what its answer is. */
export const isUnavailable = (error: unknown) => isEvaClipError(error, "ERR_EVACLIP_HUB_UNAVAILABLE");
