import { z } from "zod";

/** Where a call reports decisions it makes on its own; `console` is one. Without a logger nothing is reported. */
export interface Logger {
  /** Of what a reader of the log may want to know, such as a resized position embedding. */
  info?(message: string): void;
  /** Of what may not be intended, such as the CPU in place of a GPU. */
  warn?(message: string): void;
}

const isMethod = (value: unknown) => value === undefined || typeof value === "function";

/** For functions that take a logger. */
export const loggerArgument = z.custom<Logger>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    isMethod((value as Logger).info) &&
    isMethod((value as Logger).warn),
  { error: "a logger, with functions info and warn or one of them" },
);
