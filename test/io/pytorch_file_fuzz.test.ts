import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CounterRandom } from "../../lib/data/random";
