// Loads the models written by make_models.py and compares their features with those of the libraries:
// node -C eva-clip-source -r ts-node/register/transpile-only test/peer/compare.ts FOLDER
import { Device } from "eva-clip";
import {
  errorsOf,
  featuresOf,
  loadCase,
  type PeerCase,
  readCases,
  readExpected,
  TOLERANCE,
} from "./peer_cases";

interface Result {
  readonly name: string;
  readonly layout?: string;
  /** Relative L2 errors of features. */
  readonly image?: number;
  readonly text?: number;
  readonly error?: string;
  readonly ok: boolean;
}

async function compare(device: Device, peer: PeerCase): Promise<Result> {
  const { name, tower } = peer;
  try {
    const expected = await readExpected(peer);
    await using clip = await loadCase(peer, device);
    const errors = errorsOf(await featuresOf(clip, expected), expected);
    const compared = tower === undefined ? errors : { [tower]: errors[tower] };
    const layout = clip.loadReport?.layout;
    const ok = Object.values(compared).every((error) => error <= TOLERANCE);
    return { name, ...(layout && { layout }), ...compared, ok };
  } catch (error) {
    return { name, error: String(error), ok: false };
  }
}

async function main([folder]: readonly string[]): Promise<number> {
  if (folder === undefined) {
    process.stderr.write(
      "usage: node -C eva-clip-source -r ts-node/register/transpile-only test/peer/compare.ts FOLDER\n",
    );
    return 2;
  }
  await using device = await Device.open("cpu");
  let failed = 0;
  for (const peer of await readCases(folder)) {
    const result = await compare(device, peer);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    if (!result.ok) failed++;
  }
  return failed === 0 ? 0 : 1;
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
