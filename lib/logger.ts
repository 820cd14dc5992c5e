import { z } from "zod";

/** Receives reports of automatic decisions, such as `console`. Without a logger nothing is reported. */
export interface Logger {
  /** Information, such as a resized position embedding. */
  info?(message: string): void;
  /** Possibly unintended behavior, such as using the CPU instead of a GPU. */
  warn?(message: string): void;
}

const isMethod = (value: unknown) => value === undefined || typeof value === "function";

/** Schema of a logger argument. */
export const loggerArgument = z.custom<Logger>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    isMethod((value as Logger).info) &&
    isMethod((value as Logger).warn),
  { error: "a logger, with functions info and warn or one of them" },
);
