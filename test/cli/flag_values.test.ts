import { captureCli as run } from "../support/run_cli";

const commands = {
  train: ["train", "--train-data", "d", "--model", "m"],
  encode: ["encode", "m", "--text", "a"],
  classify: ["classify", "m", "i", "--labels", "a"],
  evaluate: ["evaluate", "m", "--val-data", "d"],
};
const LARGEST = 2 ** 31 - 1;
/** Flags by what they take: the range that messages name, and values on either side of it. */
const kinds: [range: string, refused: string[], flags: [keyof typeof commands, string[]][]][] = [
  [
    `a whole number from 1 to ${LARGEST}`,
    ["0", "-1", "1.5", "2147483648", "1e300"],
    [
      [
        "train",
        [
          ...[
            "--batch-size",
            "--epochs",
            "--steps",
            "--shuffle-buffer",
            "--val-num-samples",
            "--val-frequency",
            "--zeroshot-frequency",
          ],
          ...["--epochs-cooldown", "--save-frequency", "--save-steps", "--keep-last", "--log-every-n-steps"],
        ],
      ],
      ["encode", ["--batch-size"]],
      ["classify", ["--top-k"]],
      ["evaluate", ["--batch-size"]],
    ],
  ],
  [
    `a whole number from 0 to ${LARGEST}`,
    ["-1", "1.5", "2147483648"],
    [
      [
        "train",
        ["--seed", "--warmup", "--max-skips", "--lock-image-unlocked-groups", "--lock-text-unlocked-layers"],
      ],
    ],
  ],
  ["a whole number from 1 to 1000000000000", ["0", "1e13"], [["train", ["--train-num-samples"]]]],
  ["a whole number from 1 to 1048576", ["0", "1e9"], [["train", ["--text-bucket"]]]],
  ["a whole number from 1 to 1024", ["0", "1025"], [["train", ["--decode-concurrency"]]]],
  ["a whole number from 1 to 8192", ["0", "1e9"], [["train", ["--force-image-size"]]]],
  ["a whole number from 2 to 65536", ["1", "1e9"], [["train", ["--force-context-length"]]]],
  [
    "a whole number from 1 to ",
    ["0", "-1", "1.5", "1e9"],
    [
      ["train", ["--threads"]],
      ["encode", ["--threads"]],
    ],
  ],
  [
    "a number from 0 to 1e+38",
    ["-1", "1e300"],
    [["train", ["--lr", "--image-lr", "--text-lr", "--wd", "--image-wd", "--text-wd", "--grad-clip-norm"]]],
  ],
  ["a number from 1e-37 to 1e+38", ["0", "-1", "1e-60", "1e300"], [["train", ["--eps"]]]],
  [
    "a number from 0 to 1",
    ["-1", "1.5"],
    [
      [
        "train",
        ["--layer-decay", "--image-layer-decay", "--text-layer-decay", "--undropped-end", "--crop-scale"],
      ],
    ],
  ],
  [
    "a number of at least 0 and less than 1",
    ["-1", "1", "1.5"],
    [["train", ["--beta1", "--beta2", "--force-patch-dropout"]]],
  ],
];
const cases = kinds.flatMap(([range, refused, flags]) =>
  flags.flatMap(([command, names]) => names.map((flag) => [command, flag, range, refused] as const)),
);

test.each(cases)("%s %s takes %s", async (command, flag, range, refused) => {
  for (const value of [...refused, "", " ", "NaN", "Infinity", "many"]) {
    const { code, err } = await run(...commands[command], `${flag}=${value}`);
    expect(code).toBe(2);
    expect(err).toMatch(new RegExp(`option '${flag} <.*>' argument '${value}' is invalid`));
    expect(err).toContain(`It must be ${range}`);
  }
});

test("every flag for a number is among them", async () => {
  for (const command of Object.keys(commands) as (keyof typeof commands)[]) {
    const { out } = await run(command, "--help");
    const numeric = [...out.matchAll(/^ +(--[a-z0-9-]+) <[nx]>/gm)].map(([, flag]) => flag!);
    const common = ["--threads", ...(command === "train" ? ["--crop-scale"] : [])];
    const known = cases.filter(([of]) => of === command).map(([, flag]) => flag);
    expect(new Set([...known, ...common])).toEqual(new Set([...numeric, ...common]));
  }
});
