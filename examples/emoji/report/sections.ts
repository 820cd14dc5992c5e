import { type DemoResult, minutes, percent, resultRows, thousands } from "../result";
import { STYLES } from "../styles";
import { type Curve, lineChart } from "./charts";
import { escapeHtml } from "./images";

/** Metrics of every training step. */
export interface History {
  loss: number[];
  /** In-batch top-1 accuracy, image → text. */
  accuracy: number[];
  learningRate: number[];
  /** exp(logit scale): the inverse temperature. */
  scale: number[];
}

/** A test image and the model's predictions. */
export interface Example {
  label: string;
  unseen: boolean;
  /** PNG data URI. */
  image: string;
  /** Best first. `probability` is the softmax over all names of the test. */
  names: { label: string; probability: number; right: boolean }[];
}

/** Title, one sentence and the four numbers that matter. */
export function headline(result: DemoResult): string {
  const style = escapeHtml(styleTitle(result.testStyle));
  const { metrics, machine } = result;
  const cards = [
    [
      percent(result.styleTop1),
      "A: unseen style",
      `top-1 of ${thousands(metrics.names)} names; chance ${percent(result.chance)}`,
    ],
    [
      percent(result.unseenTop1),
      "B: unseen concepts",
      `top-1 of ${metrics.unseenNames} names; chance ${percent(result.unseenChance)}`,
    ],
    [
      minutes(result.seconds),
      "minutes of training",
      `${thousands(result.steps)} steps, ${machine.threads} threads`,
    ],
    [thousands(result.samplesPerSecond), "samples per second", `${escapeHtml(machine.processor)}`],
  ];
  const kind = result.purpose === "validation" ? "validation run" : "test";
  return `<h1>A small EVA-CLIP, trained on emoji in ${result.trainingStyles.length} drawing styles</h1>
<p class="lead">It is asked to name the drawings of ${style}, a style it has never seen (${kind}, seed ${result.seed}, ${escapeHtml(result.finishedAt)}).</p>
<div class="cards">${cards.map(([value, title, note]) => `<div class="card"><b>${value}</b><span>${title}</span><span>${note}</span></div>`).join("")}</div>`;
}

/** The scores next to chance and the pixel baseline, then by group. */
export function resultSection(result: DemoResult): string {
  const cell = (value: number | undefined, strong = false) =>
    `<td${strong ? ' class="main"' : ""}>${value === undefined ? "" : percent(value)}</td>`;
  const rows = resultRows(result).map(
    (row) =>
      `<tr><td>${row.name}</td><td>${thousands(row.choices)}</td>${cell(row.top1, true)}${cell(row.top5)}${cell(row.top10)}` +
      `${cell(1 / row.choices)}${cell(row.pixelTop1)}${cell(row.pixelTop5)}</tr>`,
  );
  const groups = result.metrics.groups.map(
    ({ group, names, recall }) =>
      `<tr><td>${escapeHtml(group.replace("-", " and "))}</td><td>${names}</td>${cell(recall.top1, true)}${cell(recall.top5)}${cell(recall.top10)}${cell(1 / names)}</tr>`,
  );
  return `<h2>Results</h2>
<div class="scroll"><table><thead><tr><th></th><th>choices</th><th>top-1</th><th>top-5</th><th>top-10</th><th>chance</th><th>raw pixels, top-1</th><th>top-5</th></tr></thead>
<tbody>${rows.join("")}</tbody></table></div>
<p class="quiet" style="margin-top:10px">Raw pixels: a drawing gets the name of the most similar training drawing, without learning and without captions.
Vendors draw many emoji alike, so this is a strong baseline for test A. It cannot name a concept without training drawings.</p>
<div class="scroll"><table><thead><tr><th>Test A within one group, among the names of that group</th><th>names</th><th>top-1</th><th>top-5</th><th>top-10</th><th>chance</th></tr></thead>
<tbody>${groups.join("")}</tbody></table></div>`;
}

/** Loss, accuracy, learning rate and scale over the steps. */
export function curveSection(history: History, batch: number): string {
  const curves: Curve[] = [
    {
      title: "Contrastive loss",
      values: history.loss,
      format: (value) => value.toFixed(2),
      lowest: 0,
      reference: { value: Math.log(batch), label: `guessing: ln ${batch}` },
    },
    {
      title: "In-batch accuracy",
      values: history.accuracy,
      format: (value) => `${(value * 100).toFixed(0)} %`,
      lowest: 0,
      highest: 1,
    },
    { title: "Learning rate", values: history.learningRate, format: shortExponent, lowest: 0 },
    { title: "exp(logit scale)", values: history.scale, format: (value) => value.toFixed(1) },
  ];
  return `<h2>Training</h2><p class="quiet">Lines are means over buckets of steps; bands are the range from the lowest to the highest step.</p>
<div class="charts">${curves.map(lineChart).join("")}</div>`;
}

/** Test images with the three most probable names. */
export function exampleSection(examples: readonly Example[], names: number): string {
  const right = examples.filter((example) => example.names[0]?.right).length;
  const pictures = examples.map(
    (
      example,
    ) => `<div class="picture${example.names[0]?.right ? " right" : ""}"><img src="${example.image}" alt="">
<div><h3>${escapeHtml(example.label)}${example.unseen ? ' <span class="unseen">unseen concept</span>' : ""}</h3><ol>${example.names
      .map(
        ({ label, probability, right: hit }) =>
          `<li${hit ? ' class="hit"' : ""}>${hit ? "✓ " : ""}${escapeHtml(label)}<span>${(probability * 100).toFixed(0)} %</span></li>`,
      )
      .join("")}</ol></div></div>`,
  );
  return `<h2>Examples</h2>
<p class="quiet">Random test images, the true name in bold, and the model's top three of ${thousands(names)} names with their probabilities:
${right} of these ${examples.length} are correct.</p>
<div class="pictures">${pictures.join("")}</div>`;
}

/** How the hyperparameters were chosen. */
const CHOICES: Record<DemoResult["purpose"], string> = {
  test: "Hyperparameters were chosen on another style and other held-out concepts (<code>--validate</code>), with this style held out too.",
  validation:
    "This is a validation run for choosing hyperparameters: the style and the held-out concepts of the test are neither trained nor evaluated on.",
};

/** The protocol of the scores, and everything needed to reproduce them. */
export function protocolSection(result: DemoResult): string {
  const { metrics } = result;
  const style = escapeHtml(styleTitle(result.testStyle));
  const facts: [string, string][] = [
    ["Command", result.command],
    [
      "Training data",
      `${thousands(result.trainingImages)} drawings of ${thousands(result.trainingConcepts)} concepts`,
    ],
    [
      "Parameters",
      `${thousands(result.parameters.image)} image tower, ${thousands(result.parameters.text)} text tower (${thousands(result.vocabularySize)} token embeddings)`,
    ],
    ["Configuration", JSON.stringify(result.config)],
    [
      "Machine",
      `${result.machine.processor}, ${result.machine.cores} cores, ${result.machine.memoryGiB} GiB`,
    ],
    [
      "Versions",
      Object.entries(result.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", "),
    ],
  ];
  const licenses = STYLES.filter(
    ({ name }) => result.trainingStyles.includes(name) || name === result.testStyle,
  )
    .map(({ title, license }) => `${title} (${license})`)
    .join(", ");
  return `<h2>Protocol</h2>
<p>Illustrations, not photographs: the same emoji by different artists, with their names and keywords from Unicode's CLDR.
Flags and skin-tone variants are left out.</p>
<p><b>Test A</b> classifies every drawing of ${style}, none of which is in the training set, among all ${thousands(metrics.names)} names. Most of the names were
seen with other drawings: this measures generalization to a new style. <b>Test B</b> classifies drawings of the ${metrics.unseenNames} concepts held out in every style among
their ${metrics.unseenNames} names: neither the style nor the concept was seen, so this is true zero-shot classification. Images are not augmented, names have no prompt; the highest cosine wins,
and a tie counts as wrong. ${CHOICES[result.purpose]}</p>
<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`).join("")}</dl>
<p class="quiet" style="margin-top:16px">Art: ${escapeHtml(licenses)}. Names and keywords: Unicode CLDR, through emojibase.</p>`;
}

export function styleTitle(name: string): string {
  return STYLES.find((style) => style.name === name)?.title ?? name;
}

/** 0.002 → "2e-3" */
function shortExponent(value: number): string {
  if (value === 0) return "0";
  return value.toExponential(1).replace(".0", "");
}
