import { type DemoResult, minutes, percent, resultRows, thousands } from "../result";
import { STYLES } from "../styles";
import { type Curve, lineChart } from "./charts";
import { escapeHtml } from "./images";

/** What training recorded at every step. */
export interface History {
  loss: number[];
  /** Share of the batch's images whose own caption scored highest. */
  accuracy: number[];
  learningRate: number[];
  /** e^logitScale: the inverse temperature. */
  scale: number[];
}

/** A test image and the names that the model gave it. */
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
      "A: style never seen",
      `top-1 of ${thousands(metrics.names)} names; chance ${percent(result.chance)}`,
    ],
    [
      percent(result.unseenTop1),
      "B: concepts never seen",
      `top-1 of ${metrics.unseenNames} names; chance ${percent(result.unseenChance)}`,
    ],
    [
      minutes(result.seconds),
      "minutes of training",
      `${thousands(result.steps)} steps, ${machine.threads} threads`,
    ],
    [thousands(result.samplesPerSecond), "samples a second", `${escapeHtml(machine.processor)}`],
  ];
  const kind = result.purpose === "validation" ? "validation run" : "test";
  return `<h1>A small EVA-CLIP, trained on emoji in ${result.trainingStyles.length} drawing styles</h1>
<p class="lead">It is asked to name the drawings of ${style}, a style it has never seen (${kind}, seed ${result.seed}, ${escapeHtml(result.finishedAt)}).</p>
<div class="cards">${cards.map(([value, title, note]) => `<div class="card"><b>${value}</b><span>${title}</span><span>${note}</span></div>`).join("")}</div>`;
}

/** The scores beside chance and the pixel baseline, then by group. */
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
<p class="quiet" style="margin-top:10px">Raw pixels: the drawing is named after the training drawing that resembles it most, without learning and without
names. Vendors draw many emoji alike, so this is a strong reference for test A. It has no way to name a concept it was never shown.</p>
<div class="scroll"><table><thead><tr><th>Test A inside one group, with the names of that group</th><th>names</th><th>top-1</th><th>top-5</th><th>top-10</th><th>chance</th></tr></thead>
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
      title: "Accuracy in the batch",
      values: history.accuracy,
      format: (value) => `${(value * 100).toFixed(0)} %`,
      lowest: 0,
      highest: 1,
    },
    { title: "Learning rate", values: history.learningRate, format: shortExponent, lowest: 0 },
    { title: "Scale of the logits", values: history.scale, format: (value) => value.toFixed(1) },
  ];
  return `<h2>Training</h2><p class="quiet">Lines are means over stretches of steps; the band reaches from the lowest to the highest step.</p>
<div class="charts">${curves.map(lineChart).join("")}</div>`;
}

/** Test images with the three names that the model finds most likely. */
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
  return `<h2>What it sees</h2>
<p class="quiet">Test images drawn at random, the true name in bold, and the model's three best out of ${thousands(names)} names with their probabilities:
${right} of these ${examples.length} are right.</p>
<div class="pictures">${pictures.join("")}</div>`;
}

/** Where the hyperparameters come from. */
const CHOICES: Record<DemoResult["purpose"], string> = {
  test: "Hyperparameters were chosen on another style and other held-out concepts (<code>--validate</code>), with this style hidden as well.",
  validation:
    "This is a validation run, to choose hyperparameters by: the style and the concepts of the test itself are neither trained on nor looked at.",
};

/** How the scores came about, in words, and everything needed to repeat them. */
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
  const licences = STYLES.filter(
    ({ name }) => result.trainingStyles.includes(name) || name === result.testStyle,
  )
    .map(({ title, licence }) => `${title} (${licence})`)
    .join(", ");
  return `<h2>Protocol</h2>
<p>Illustrations, not photographs: the same emoji drawn by different hands, with the names and keywords that people gave them in Unicode's CLDR.
Flags and skin-tone variants are left out.</p>
<p><b>Test A</b> shows the model every drawing of ${style}, none of which was trained on, and asks for its name out of all ${thousands(metrics.names)}. Most of those names were
seen with other drawings: this measures generalisation to a new style. <b>Test B</b> takes the ${metrics.unseenNames} concepts that were held out in every style, and asks for the name out of
those ${metrics.unseenNames}: neither the style nor the concept was seen, so this is zero-shot classification proper. Images are shown as they are, names without a prompt around them; the highest cosine wins,
and a tie counts as wrong. ${CHOICES[result.purpose]}</p>
<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`).join("")}</dl>
<p class="quiet" style="margin-top:16px">Art: ${escapeHtml(licences)}. Names and keywords: Unicode CLDR by way of emojibase.</p>`;
}

export function styleTitle(name: string): string {
  return STYLES.find((style) => style.name === name)?.title ?? name;
}

/** 0.002 → "2e-3" */
function shortExponent(value: number): string {
  if (value === 0) return "0";
  return value.toExponential(1).replace(".0", "");
}
