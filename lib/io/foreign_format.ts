import type { CheckpointProblem } from "./checkpoint_error";

/** Bytes at the start of a file that `foreignFormat` reads. */
export const FORMAT_BYTES = 512;

export interface ForeignFormat {
  readonly kind: CheckpointProblem;
  readonly problem: string;
}

interface Signature extends ForeignFormat {
  matches(head: Buffer, fileBytes: number): boolean;
}

const ZIP_SIGNATURE = Buffer.from("PK\x03\x04", "latin1");
/** The pickled integer 0x1950a86a20f9469cfc6c, the start of torch.save's files before version 1.6. */
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
    problem: "is a web page, not the weights: the download failed or requires signing in",
  },
  {
    matches: (head, fileBytes) =>
      head.length > 8 && head[8] === 0x7b && head.readBigUInt64LE(0) <= BigInt(fileBytes - 8),
    kind: "UNSUPPORTED",
    problem: "is a safetensors file, not a PyTorch checkpoint: open it as safetensors",
  },
  {
    matches: (head) => head.subarray(2, 2 + LEGACY_PICKLE.length).equals(LEGACY_PICKLE),
    kind: "UNSUPPORTED",
    problem: `is in the format of PyTorch before version 1.6: ${SAVE_AGAIN}`,
  },
  {
    matches: (head) => head.subarray(257, 262).equals(Buffer.from("ustar")),
    kind: "UNSUPPORTED",
    problem: `is a tar archive, the format of PyTorch before version 0.1.10: ${SAVE_AGAIN}`,
  },
  {
    matches: (head) => begins(head, "\x1f\x8b"),
    kind: "UNSUPPORTED",
    problem: "is compressed with gzip: decompress it first",
  },
  {
    matches: (head) => head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5,
    kind: "UNSUPPORTED",
    problem: `is a bare pickle, not an archive of torch.save: ${SAVE_AGAIN}`,
  },
];

/** The format of a file that is not a ZIP archive, from its first FORMAT_BYTES bytes; undefined for a ZIP archive. */
export function foreignFormat(head: Buffer, fileBytes: number): ForeignFormat | undefined {
  if (head.subarray(0, ZIP_SIGNATURE.length).equals(ZIP_SIGNATURE)) return undefined;
  const shown = head.subarray(0, 8).toString("hex");
  return (
    SIGNATURES.find((signature) => signature.matches(head, fileBytes)) ?? {
      kind: "CORRUPT",
      problem: `is neither a PyTorch checkpoint (a ZIP archive, which begins with the bytes 504b0304) nor a safetensors file: it begins with the bytes ${shown}`,
    }
  );
}
