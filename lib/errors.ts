/** A message with a caller's whole input in it helps nobody, and fills logs. */
const LONGEST_MESSAGE = 2000;

function withinReason(message: string): string {
  if (message.length <= LONGEST_MESSAGE) return message;
  return `${message.slice(0, LONGEST_MESSAGE)}… (${message.length} characters)`;
}

/** Every error this package throws: a stable `code` to branch on, a message for people, and the facts behind it. */
export class EvaClipError extends Error {
  override readonly name: string = "EvaClipError";

  constructor(
    readonly code: string,
    message: string,
    readonly details?: Record<string, unknown>,
    options?: ErrorOptions,
  ) {
    super(withinReason(message), options);
  }
}
