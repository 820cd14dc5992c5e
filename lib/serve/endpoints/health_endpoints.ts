import { statusAnswer } from "./answer_schemas";
import { HttpError } from "../http_error";
import type { Route } from "../route";

export const healthRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/healthz",
    isPublic: true,
    summary: "Whether the process is alive.",
    answer: statusAnswer,
    handle: () => Response.json({ status: "ok" }),
  },
  {
    method: "GET",
    path: "/readyz",
    isPublic: true,
    summary: "Whether requests can be answered: runs a tiny batch through each model's device.",
    answer: statusAnswer,
    async handle({ signal }, { readiness }) {
      const state = await readiness.check(signal);
      if (state.ready) return Response.json({ status: "ready" });
      throw new HttpError(503, state.reason, { code: "not_ready" });
    },
  },
  {
    method: "GET",
    path: "/metrics",
    summary: "Metrics in the text format of Prometheus.",
    async handle(_, { metrics }) {
      return new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } });
    },
  },
];
