import { downloadProgress } from "../../lib/cli/download_progress";

const MB = 1_000_000;
const of = (received: number, size = 10 * MB, file = "w.pt") => ({ repository: "a/b", file, received, size });

function shown(isTTY: boolean, ...received: number[]): string {
  let out = "";
  const write = (text: string) => {
    out += text;
    return true;
  };
  const spy = jest.spyOn(process.stderr, "write").mockImplementation(write as never);
  const show = downloadProgress({ isTTY, columns: 100, write } as never);
  for (const each of received) show(of(each));
  spy.mockRestore();
  return out;
}

test("on a terminal, a bar that is redrawn and ends with a new line", () => {
  const lines = shown(true, 0, 5 * MB, 10 * MB).split("\r");
  expect(lines[1]).toMatch(/^w\.pt {2}\[\.{24}\] {2}0 % {2}0 B\/10\.0 MB/);
  expect(lines.at(-1)).toMatch(/^w\.pt {2}\[#{24}\] {2}100 % {2}10\.0 MB\/10\.0 MB {2}.*\/s.*\n$/s);
});

test("elsewhere, a line when it begins and when it ends", () => {
  const lines = shown(false, 2 * MB, 5 * MB, 10 * MB)
    .trimEnd()
    .split("\n");
  expect(lines).toEqual([
    "downloading w.pt, 10.0 MB, from 2.0 MB on",
    expect.stringMatching(/^w\.pt: 100 % {2}10\.0 MB/),
  ]);
});

test("what is cached or small is not shown", () => {
  expect(shown(true, 10 * MB)).toBe("");
  const write = jest.fn();
  downloadProgress({ isTTY: true, columns: 80, write } as never)(of(5, 2000));
  expect(write).not.toHaveBeenCalled();
});
