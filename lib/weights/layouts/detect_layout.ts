import { z } from "zod";
import { checkArgument, reading, text } from "../../arguments";
import { EvaClipError } from "../../errors";
import type { AnyImageTower } from "../../models/image_tower_descriptor";
import { imageTowers } from "../../models/image_towers";
import { layouts } from "./all_layouts";
import type { Layout, StoredLayout } from "./layout";

const iterable = z.custom<Iterable<string>>(
  (value) =>
    typeof value === "object" && value !== null && Symbol.iterator in value && !ArrayBuffer.isView(value),
  { error: "names of tensors" },
);

/** The number of names that an error shows of an unknown file. */
const SHOWN_NAMES = 5;

interface Candidate {
  readonly layout: Layout;
  readonly imageTower: AnyImageTower | undefined;
  readonly landmarks: readonly string[];
}

/** The image towers that files of a layout are recognized by, those with more names first. */
function imageCandidates(layout: Layout): Candidate[] {
  return imageTowers()
    .map((imageTower) => ({
      layout,
      imageTower,
      landmarks: imageTower.layouts[layout.name]?.landmarks ?? [],
    }))
    .filter(({ landmarks }) => landmarks.length > 0)
    .sort((a, b) => b.landmarks.length - a.landmarks.length);
}

/** What files are recognized by, image towers first: text towers look alike in several layouts. */
function candidates(): Candidate[] {
  const known = layouts();
  return [
    ...known.flatMap(imageCandidates),
    ...known.flatMap((layout) =>
      (layout.text?.landmarks ?? []).map((landmarks) => ({ layout, imageTower: undefined, landmarks })),
    ),
  ];
}

/**
 * The layout of a file, by the names of its tensors.
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_MISMATCH` when it is unknown, naming the closest layout
 */
export function detectLayout(tensorNames: Iterable<string>, path = "the file"): StoredLayout {
  checkArgument("detectLayout: tensorNames", tensorNames, iterable);
  checkArgument("detectLayout: path", path, text);
  const names = reading("detectLayout: tensorNames", () => new Set(tensorNames));
  const all = candidates();
  const found = all.find(({ landmarks }) => landmarks.every((name) => names.has(name)));
  if (found === undefined) throw unknownLayout(names, path, all);
  const { layout, imageTower } = found;
  return { layout, imageTower, storedText: names.has("text.positional_embedding") ? "text." : "" };
}

function unknownLayout(names: ReadonlySet<string>, path: string, all: readonly Candidate[]): EvaClipError {
  const shares = all.map(({ layout, landmarks }) => {
    const lacking = landmarks.filter((name) => !names.has(name));
    return { layout: layout.name, lacking, share: 1 - lacking.length / landmarks.length };
  });
  const nearest = shares.reduce((best, other) => (other.share > best.share ? other : best));
  const known = new Map(
    all.map(({ layout, landmarks }) => [layout.name, landmarks[0]]).toReversed() as [string, string][],
  );
  const isNear = nearest.share > 0;
  const hint = isNear
    ? `closest is ${nearest.layout}, missing ${nearest.lacking.join(", ")}`
    : `it has ${[...names].slice(0, SHOWN_NAMES).join(", ")}${names.size > SHOWN_NAMES ? ", …" : ""}`;
  const looked = layouts()
    .map(({ name }) => `${name} (${known.get(name)}, …)`)
    .join(", ");
  return new EvaClipError(
    "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    `${path} has an unknown layout; known are ${looked}; ${hint}`,
    { path, ...(isNear && { nearest: nearest.layout, lacking: nearest.lacking }) },
  );
}
