/** Every error this package throws: a stable `code` to branch on, a message for people, and the facts behind it. */
export class EvaClipError extends Error {
  override readonly name: string = "EvaClipError";

  constructor(
    readonly code: string,
    message: string,
    readonly details?: Record<string, unknown>,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
