import { HttpError } from "./http_error";

export interface FetchImageOptions {
  readonly allowedHosts: readonly string[];
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The bytes of a remote image. */
export async function fetchImage(_url: string, _options: FetchImageOptions): Promise<Uint8Array> {
  throw new HttpError(501, "images cannot be fetched");
}
