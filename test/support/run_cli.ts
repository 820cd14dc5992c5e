import { runCli } from "../../lib/cli/program";

export interface CliResult {
  code: number;
  out: string;
  err: string;
}

/** Runs the command line in this process. */
export async function captureCli(...words: string[]): Promise<CliResult> {
  const written = { out: "", err: "" };
  const take = (into: "out" | "err") => (text: unknown) => {
    written[into] += String(text);
    return true;
  };
  const spies = [
    jest.spyOn(process.stdout, "write").mockImplementation(take("out")),
    jest.spyOn(process.stderr, "write").mockImplementation(take("err")),
  ];
  try {
    return { code: await runCli(words), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
