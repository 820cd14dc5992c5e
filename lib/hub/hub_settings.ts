import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** What the environment says about the hub: the variables of huggingface_hub (docs: package_reference/environment_variables). */
export interface HubSettings {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  /** Folder of the cache, shared with every other program that uses the hub. */
  readonly cache: string;
  /** Answer from the cache alone, without a request. */
  readonly offline: boolean;
  readonly token: string | undefined;
  /** The longest silence of the server, in milliseconds. */
  readonly silenceMs: number;
}

const DEFAULT_SILENCE_S = 10;

function variable(...names: readonly string[]): string | undefined {
  return names.map((name) => process.env[name]).find((value) => value !== undefined && value !== "");
}

const isTrue = (value: string | undefined) => /^(1|on|yes|true)$/i.test(value ?? "");

/** A path whose `~` the shell has not expanded, as in a Dockerfile. */
const expanded = (path: string) => (/^~(\/|$)/.test(path) ? join(homedir(), path.slice(1)) : path);

function homeFolder(): string {
  const cache = variable("XDG_CACHE_HOME") ?? join(homedir(), ".cache");
  return expanded(variable("HF_HOME") ?? join(cache, "huggingface"));
}

async function accessToken(home: string): Promise<string | undefined> {
  const given = variable("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")?.trim();
  if (given) return given;
  if (isTrue(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return undefined;
  const stored = await readFile(expanded(variable("HF_TOKEN_PATH") ?? join(home, "token")), "utf8").catch(
    () => "",
  );
  return stored.trim() || undefined;
}

/** Reads the environment, and the token that `hf auth login` stores. */
export async function hubSettings(): Promise<HubSettings> {
  const home = homeFolder();
  const silence = Number(variable("HF_HUB_DOWNLOAD_TIMEOUT") ?? DEFAULT_SILENCE_S);
  return {
    endpoint: (variable("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    cache: expanded(variable("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? join(home, "hub")),
    offline: isTrue(variable("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")),
    token: await accessToken(home),
    silenceMs: 1000 * (silence > 0 ? silence : DEFAULT_SILENCE_S),
  };
}
