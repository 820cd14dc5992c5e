/** The `type` of an error, in the words of OpenAI's API. */
export type HttpErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "rate_limit_error"
  | "timeout_error"
  | "server_error";

export interface HttpErrorOptions {
  /** For programs, such as `model_not_found`. */
  readonly code?: string;
  /** The field of the request that is at fault, such as `input[3]`. */
  readonly param?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: by the status. */
  readonly type?: HttpErrorType;
  readonly cause?: unknown;
}

const TYPES: Readonly<Record<number, HttpErrorType>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  429: "rate_limit_error",
  408: "timeout_error",
  504: "timeout_error",
};

function typeOf(status: number): HttpErrorType {
  return TYPES[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
}

/** An error that a client is told: a status, and {"error": {message, type, param, code}} as OpenAI's API answers. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly type: HttpErrorType;
  readonly code: string | undefined;
  readonly param: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly status: number,
    message: string,
    { type, code, param, headers = {}, cause }: HttpErrorOptions = {},
  ) {
    super(message, { cause });
    this.type = type ?? typeOf(status);
    this.code = code;
    this.param = param;
    this.headers = headers;
  }

  toResponse(): Response {
    const { message, type, param = null, code = null } = this;
    const error = { message, type, param, code };
    return Response.json({ error }, { status: this.status, headers: this.headers });
  }
}
