import type { LogLevel } from "../../serve";
import type { ModelFlags } from "../model_flags";

export interface ServeFlags extends ModelFlags {
  /** [name, path] of models. */
  name?: [string, string][];
  host: string;
  port: number;
  allowHosts?: string[];
  apiKey?: string;
  cors?: string[];
  allowImageHosts?: string[];
  index?: string;
  page: boolean;
  basePath?: string;
  maxBatch: number;
  maxDelayMs?: number;
  maxQueue: number;
  maxBodyMb: number;
  maxImages: number;
  maxTexts: number;
  maxPixels: number;
  maxConnections: number;
  timeoutMs: number;
  readyTimeoutMs: number;
  drainMs: number;
  logLevel: LogLevel;
}
