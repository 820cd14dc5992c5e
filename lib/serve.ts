// eva-clip/serve: models inside a service. Batch concurrent calls, answer HTTP requests.
export {
  type BatchedCallOptions,
  Batcher,
  type BatcherOptions,
  type BatchOptions,
  type BatchReport,
} from "./serve/batcher";
export type { Limits } from "./serve/context";
export { createHandler, type RequestHandler } from "./serve/handler";
export type { HandlerOptions } from "./serve/handler_options";
export {
  type LogLevel,
  type RunningServer,
  type ServedHandler,
  type ServeOptions,
  serve,
} from "./serve/server/listen";
export { type NodeHandler, toNodeHandler } from "./serve/server/node_handler";
export type { ReadinessOptions } from "./serve/readiness";
