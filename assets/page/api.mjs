// Requests to the server of this page.
const KEY = "eva-clip-api-key";
const SHORTEST_WAIT_S = 1;
const LONGEST_WAIT_S = 20;

/** What went wrong, for the person at the page, by status. */
const TITLES = {
  0: "The server cannot be reached",
  400: "The server cannot use this",
  401: "The server asks for an API key",
  403: "The server does not allow this",
  404: "The server does not have this",
  413: "This is larger than the server accepts",
  415: "The server cannot read this kind of file",
  429: "The server is busy",
  503: "The server is not ready",
  504: "The server took too long",
};

/** A failed request: `message` says what failed, `detail` what the server said about it. */
export class RequestError extends Error {
  constructor(status, { detail = "", code, retryAfter } = {}) {
    super(TITLES[status] ?? `The server failed (${status})`);
    this.name = "RequestError";
    this.status = status;
    this.detail = detail;
    this.code = code;
    /** Seconds. */
    this.retryAfter = retryAfter;
  }
}

/** Whether `error` only says that the page no longer wants an answer. */
export const isAbort = (error) => error?.name === "AbortError";

export const apiKey = () => sessionStorage.getItem(KEY);

/** Asks for a key; resolves to undefined when there is none. Set by the page. */
let askForKey = async () => undefined;
let asking;

export function setKeyPrompt(ask) {
  askForKey = ask;
}

/** One question for all requests that were refused with the same key. */
async function renewKey(refused) {
  if (apiKey() !== refused) return true;
  asking ??= askForKey(refused !== null).finally(() => {
    asking = undefined;
  });
  const key = await asking;
  if (key === undefined) return false;
  sessionStorage.setItem(KEY, key);
  return true;
}

async function errorOf(response) {
  const retryAfter = Number(response.headers.get("retry-after")) || undefined;
  try {
    const { error } = await response.json();
    return new RequestError(response.status, { detail: error.message, code: error.code, retryAfter });
  } catch {
    return new RequestError(response.status, { retryAfter });
  }
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new RequestError(0, { detail: "Is it still running?" });
  }
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * Math.min(LONGEST_WAIT_S, Math.max(SHORTEST_WAIT_S, seconds)));
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/**
 * GETs `path`, or POSTs `body` as JSON to it. A server that is busy is asked again up to `retries` times, when it says.
 * @throws RequestError; the signal's reason
 */
export async function request(path, { body, signal, retries = 0 } = {}) {
  for (let attempt = 0; ; ) {
    const key = apiKey();
    const headers = {
      ...(key !== null && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    };
    const content = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await send(path, { headers, signal: signal ?? null, ...content });
    if (response.ok) return response;
    const error = await errorOf(response);
    if (response.status === 401 && (await renewKey(key))) continue;
    const isBusy = response.status === 429 || response.status === 503;
    if (!isBusy || attempt++ >= retries) throw error;
    await wait(error.retryAfter ?? attempt, signal);
  }
}

export async function requestJson(path, options) {
  return (await request(path, options)).json();
}
