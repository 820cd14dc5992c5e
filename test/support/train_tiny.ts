import type { Device } from "../../lib/device";
import { batchesByStep } from "../../lib/train/batch_source";
import { type TrainingRun, type TrainOptions, type TrainResult, train } from "../../lib/train/train";
import type { TrainConfig } from "../../lib/train/train_config";
import type { TrainEvent } from "../../lib/train/train_events";
import { contentOf, type TinyOptions, tinyBatch, tinyTraining } from "./tiny_clip";

export type OnEvent = (event: TrainEvent, run: TrainingRun) => void;

export interface Outcome {
  events: TrainEvent[];
  /** Bits of every parameter and moment. */
  content: Record<string, number[]>;
  error?: unknown;
  result?: TrainResult;
}

/** Trains a tiny model and collects everything observable. */
export async function trainTiny(
  device: Device,
  config: Partial<TrainConfig>,
  options: TrainOptions = {},
  tiny: TinyOptions = {},
  onEvent: OnEvent = () => undefined,
): Promise<Outcome> {
  const { model, optimizer } = await tinyTraining(config.device ?? device, tiny);
  const run = train(
    {
      device,
      model,
      optimizer,
      data: batchesByStep((step) => tinyBatch(step)),
      steps: 8,
      schedule: { warmupSteps: Math.min(2, config.steps ?? 2) },
      seed: 5,
      ...config,
    },
    options,
  );
  const events: TrainEvent[] = [];
  const outcome: Outcome = { events, content: {} };
  try {
    for await (const event of run) {
      events.push(event);
      onEvent(event, run);
    }
    outcome.result = await run.result;
  } catch (thrown) {
    outcome.error = thrown;
  }
  outcome.content = await contentOf([...model.parameters(), ...optimizer.state()]);
  optimizer.dispose();
  for (const parameter of model.parameters()) parameter.dispose();
  return outcome;
}
