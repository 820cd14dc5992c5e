// eva-clip/serve: models inside a service. Batch concurrent calls, answer HTTP requests.
export {
  type LogLevel,
  type RunningServer,
  type ServedHandler,
  type ServeOptions,
  serve,
} from "./serve/listen";
