import { HttpError } from "../http_error";

/** Bytes of the bodies under way, which wait in memory until they are answered. */
export class PendingBytes {
  #bytes = 0;

  constructor(private readonly most: number) {}

  /** The part of one request. */
  share(): { add(bytes: number): void; release(): void } {
    let own = 0;
    return {
      add: (bytes) => {
        if (this.#bytes + bytes > this.most) {
          const message = "the service holds as many bytes of requests as it may";
          throw new HttpError(429, message, { code: "too_many_bytes", headers: { "retry-after": "1" } });
        }
        own += bytes;
        this.#bytes += bytes;
      },
      release: () => {
        this.#bytes -= own;
        own = 0;
      },
    };
  }
}
