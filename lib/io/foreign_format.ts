import type { CheckpointProblem } from "./checkpoint_error";

/** Bytes of a file's beginning that `foreignFormat` looks at. */
export const FORMAT_BYTES = 512;

export interface ForeignFormat {
  readonly kind: CheckpointProblem;
  readonly problem: string;
}

interface Signature extends ForeignFormat {
  matches(head: Buffer, fileBytes: number): boolean;
}

const ZIP_SIGNATURE = Buffer.from("PK\x03\x04", "latin1");
/** A pickle of the integer 0x1950a86a20f9469cfc6c, with which torch.save began its files before version 1.6. */
const LEGACY_PICKLE = Buffer.from("8a0a6cfc9c46f9206aa850192e", "hex");
const SAVE_AGAIN = "load it with a current PyTorch and save its state dict again with torch.save";

function begins(head: Buffer, text: string): boolean {
  return head.subarray(0, text.length).equals(Buffer.from(text, "latin1"));
}

const SIGNATURES: readonly Signature[] = [
  {
    matches: (_, fileBytes) => fileBytes === 0,
    kind: "CORRUPT",
    problem: "is empty",
  },
  {
    matches: (head) => begins(head, "version https://git-lfs"),
    kind: "UNSUPPORTED",
    problem: "is a Git LFS pointer, not the weights: fetch them with `git lfs pull`",
  },
  {
    matches: (head) => /^\s*<(!doctype|html|head|\?xml)/i.test(head.toString("latin1")),
    kind: "UNSUPPORTED",
    problem: "is a web page, not the weights: the download gave an error page or needs a sign-in",
  },
  {
    matches: (head, fileBytes) =>
      head.length > 8 && head[8] === 0x7b && head.readBigUInt64LE(0) <= BigInt(fileBytes - 8),
    kind: "UNSUPPORTED",
    problem: "is a safetensors file, not one of torch.save: open it as safetensors",
  },
  {
    matches: (head) => head.subarray(2, 2 + LEGACY_PICKLE.length).equals(LEGACY_PICKLE),
    kind: "UNSUPPORTED",
    problem: `is in PyTorch's format from before version 1.6: ${SAVE_AGAIN}`,
  },
  {
    matches: (head) => head.subarray(257, 262).equals(Buffer.from("ustar")),
    kind: "UNSUPPORTED",
    problem: `is a tar archive, PyTorch's format from before version 0.1.10: ${SAVE_AGAIN}`,
  },
  {
    matches: (head) => begins(head, "\x1f\x8b"),
    kind: "UNSUPPORTED",
    problem: "is compressed with gzip: unpack it first",
  },
  {
    matches: (head) => head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5,
    kind: "UNSUPPORTED",
    problem: `is a pickle without the archive that torch.save puts around tensors: ${SAVE_AGAIN}`,
  },
];

/** What a file is that is no ZIP archive, from its first FORMAT_BYTES bytes; undefined for one that begins like one. */
export function foreignFormat(head: Buffer, fileBytes: number): ForeignFormat | undefined {
  if (head.subarray(0, ZIP_SIGNATURE.length).equals(ZIP_SIGNATURE)) return undefined;
  const shown = head.subarray(0, 8).toString("hex");
  return (
    SIGNATURES.find((signature) => signature.matches(head, fileBytes)) ?? {
      kind: "CORRUPT",
      problem: `is neither a PyTorch checkpoint, a ZIP archive that begins with the bytes 504b0304, nor a safetensors file: it begins with the bytes ${shown}`,
    }
  );
}
