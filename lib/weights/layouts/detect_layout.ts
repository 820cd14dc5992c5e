import { z } from "zod";
import { checkArgument, reading, text } from "../../arguments";
import { EvaClipError } from "../../errors";
import type { Layout, LayoutName, StoredLayout } from "./layout";
import { layouts } from "./all_layouts";

const iterable = z.custom<Iterable<string>>(
  (value) =>
    typeof value === "object" && value !== null && Symbol.iterator in value && !ArrayBuffer.isView(value),
  { error: "names of tensors" },
);

/** Names shown of a file that is in no layout. */
const SHOWN_NAMES = 5;

interface Candidate {
  readonly name: LayoutName;
  readonly layout: Layout;
  readonly landmarks: readonly string[];
}

const candidate = (layout: Layout, landmarks: readonly string[]): Candidate => ({
  name: layout.name,
  layout,
  landmarks,
});

/** What files are recognized by, image towers first: text towers look alike in several layouts. */
const candidates: readonly Candidate[] = [
  ...layouts.map((layout: Layout) => candidate(layout, layout.landmarks.image)),
  ...layouts.flatMap((layout: Layout) =>
    (layout.landmarks.texts ?? []).map((landmarks) => candidate(layout, landmarks)),
  ),
];

/**
 * The layout of a file, by the names of its tensors.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` when it is none that is known, with what was looked for
 */
export function detectLayout(tensorNames: Iterable<string>, path = "the file"): StoredLayout {
  checkArgument("detectLayout: tensorNames", tensorNames, iterable);
  checkArgument("detectLayout: path", path, text);
  const names = reading("detectLayout: tensorNames", () => new Set(tensorNames));
  const found = candidates.find(({ landmarks }) => landmarks.every((name) => names.has(name)));
  if (found === undefined) throw unknownLayout(names, path);
  return { layout: found.layout, storedText: names.has("text.positional_embedding") ? "text." : "" };
}

function unknownLayout(names: ReadonlySet<string>, path: string): EvaClipError {
  const shares = candidates.map(({ name: layout, landmarks }) => {
    const lacking = landmarks.filter((name) => !names.has(name));
    return { layout, lacking, share: 1 - lacking.length / landmarks.length };
  });
  const nearest = shares.reduce((best, other) => (other.share > best.share ? other : best));
  const looked = layouts.map(({ name, landmarks }) => `${name} (${landmarks.image[0]}, …)`).join(", ");
  const isNear = nearest.share > 0;
  const hint = isNear
    ? `nearest is ${nearest.layout}, but ${nearest.lacking.join(", ")} ${nearest.lacking.length === 1 ? "is" : "are"} missing`
    : `it has ${[...names].slice(0, SHOWN_NAMES).join(", ")}${names.size > SHOWN_NAMES ? ", …" : ""}`;
  return new EvaClipError(
    "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    `${path} is in no layout that is known: looked for ${looked}; ${hint}`,
    { path, ...(isNear && { nearest: nearest.layout, lacking: nearest.lacking }) },
  );
}
