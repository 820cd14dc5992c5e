import { EvaClipError } from "../errors";
import type { Layout, StoredLayout } from "./layout";
import { layouts } from "./layouts/all_layouts";

/** Names shown of a file that is in no layout. */
const SHOWN_NAMES = 5;

interface Candidate {
  readonly layout: Layout;
  /** What the landmarks of the text tower begin with. */
  readonly prefix: string;
  readonly landmarks: readonly string[];
}

/** The towers that a file may be recognised by, image towers first: text towers look alike in several layouts. */
function candidates(): Candidate[] {
  const images = layouts.flatMap((layout: Layout) =>
    layout.landmarks.image ? [{ layout, prefix: "", landmarks: layout.landmarks.image }] : [],
  );
  const texts = layouts.flatMap((layout: Layout) => {
    const { text } = layout.landmarks;
    if (!text) return [];
    return ["", "text."].map((prefix) => ({ layout, prefix, landmarks: text.map((name) => prefix + name) }));
  });
  return [...images, ...texts];
}

/**
 * The layout of a file, by the names of its tensors.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` when it is none that is known, with what was looked for
 */
export function recogniseLayout(tensorNames: Iterable<string>, path = "the file"): StoredLayout {
  const names = new Set(tensorNames);
  const all = candidates();
  const found = all.find(({ landmarks }) => landmarks.every((name) => names.has(name)));
  if (found === undefined) throw unknownLayout(names, all, path);
  return { layout: found.layout, storedText: names.has("text.positional_embedding") ? "text." : "" };
}

function unknownLayout(names: ReadonlySet<string>, all: readonly Candidate[], path: string): EvaClipError {
  const shares = all.map(({ layout, landmarks }) => {
    const lacking = landmarks.filter((name) => !names.has(name));
    return { layout: layout.name, lacking, share: 1 - lacking.length / landmarks.length };
  });
  const nearest = shares.reduce((best, other) => (other.share > best.share ? other : best));
  const looked = all.map(({ layout, landmarks }) => `${layout.name} (${landmarks[0]}, …)`).join(", ");
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
