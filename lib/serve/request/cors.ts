/** How long browsers may remember that requests are allowed. */
const MAX_AGE_SECONDS = "86400";

/** Cross-origin requests from web pages. */
export interface Cors {
  /** The headers that an answer to the request needs. */
  headersFor(request: Request): Readonly<Record<string, string>>;
  /** The answer to a browser's question whether it may send a request; undefined if it is none. */
  preflight(request: Request): Response | undefined;
}

const NONE: Cors = { headersFor: () => ({}), preflight: () => undefined };

/** @param allowed `true` for every origin, or the origins, such as https://example.com */
export function corsOf(allowed: boolean | readonly string[]): Cors {
  if (allowed === false) return NONE;
  const headersFor = ({ headers }: Request): Record<string, string> => {
    const origin = headers.get("origin");
    if (allowed === true) return { "access-control-allow-origin": "*" };
    // The answer depends on the origin, for caches.
    const vary = { vary: "origin" };
    return origin && allowed.includes(origin) ? { ...vary, "access-control-allow-origin": origin } : vary;
  };
  const preflight = (request: Request) => {
    const method = request.headers.get("access-control-request-method");
    if (request.method !== "OPTIONS" || method === null || !request.headers.has("origin")) return undefined;
    const headers = {
      ...headersFor(request),
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": MAX_AGE_SECONDS,
    };
    return new Response(null, { status: 204, headers });
  };
  return {
    headersFor: (request) => ({
      ...headersFor(request),
      "access-control-expose-headers": "retry-after, x-request-id",
    }),
    preflight,
  };
}
