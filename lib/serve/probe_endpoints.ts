import { HttpError } from "./http_error";
import type { Route } from "./route";

/** Probes and scrapers have no key, and see nothing of requests. */
const isPublic = true;

/** /healthz: the process is alive. /readyz: its devices compute. /metrics: for Prometheus. */
export const probeRoutes: readonly Route[] = [
  { method: "GET", path: "/healthz", isPublic, handle: () => Response.json({ status: "ok" }) },
  {
    method: "GET",
    path: "/readyz",
    isPublic,
    async handle({ signal }, { readiness }) {
      const state = await readiness.check(signal);
      if (state.ready) return Response.json({ status: "ready" });
      throw new HttpError(503, state.reason, { code: "not_ready" });
    },
  },
  {
    method: "GET",
    path: "/metrics",
    isPublic,
    async handle(_, { metrics }) {
      return new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } });
    },
  },
];
