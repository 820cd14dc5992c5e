/** The report's style sheet: light or dark as the browser prefers, system fonts only. */
export const STYLE_SHEET = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1d1f23; --quiet: #62666e; --rule: #e3e4e6;
  --accent: #2563a8; --band: #2563a82e; --right: #1b7a43; --wrong: #a8442a; --tile: #f1f1ef;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181b; --card: #1d2024; --ink: #e6e7e9; --quiet: #9aa0a8; --rule: #33373d;
    --accent: #7db2ec; --band: #7db2ec33; --right: #6cc691; --wrong: #e5937b; --tile: #d9d9d6;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 48px 0 6px; }
p { margin: 0 0 12px; max-width: 74ch; }
.quiet, .lead { color: var(--quiet); }
.lead { max-width: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px; margin: 26px 0 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 14px 16px; }
.card b { display: block; font-size: 27px; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: 13px; }
.card span + span { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin-top: 10px; }
th, td { padding: 7px 10px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th { font-weight: 500; font-size: 13px; color: var(--quiet); }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
td.main { font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 12px; margin-top: 14px; }
.chart { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 12px 12px 4px; }
.chart figcaption { font-size: 13px; color: var(--quiet); }
.chart figcaption b { color: var(--ink); margin-left: 6px; font-variant-numeric: tabular-nums; }
.chart svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke: var(--accent); stroke-width: 1.8; stroke-linejoin: round; }
.band { fill: var(--band); }
.reference { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 4 4; }
.tick { fill: var(--quiet); font-size: 11px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(244px, 1fr)); gap: 10px; margin-top: 14px; }
.picture {
  display: grid; grid-template-columns: 72px 1fr; gap: 12px; align-items: start;
  background: var(--card); border: 1px solid var(--rule); border-left: 3px solid var(--wrong); border-radius: 8px; padding: 10px;
}
.picture.right { border-left-color: var(--right); }
.picture img { width: 72px; height: 72px; padding: 4px; background: var(--tile); border-radius: 6px; }
.picture ol { list-style: none; margin: 0; padding: 0; font-size: 13px; line-height: 1.4; min-width: 0; }
.picture h3 { font-size: 13px; line-height: 1.35; font-weight: 600; margin: 0 0 4px; overflow-wrap: anywhere; }
.picture li { display: grid; grid-template-columns: 1fr auto; gap: 8px; color: var(--quiet); overflow-wrap: anywhere; }
.picture li.hit { color: var(--right); font-weight: 600; }
.picture li span { font-variant-numeric: tabular-nums; }
.unseen { color: var(--accent); font-weight: 500; }
.matrix { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 12px; margin-top: 14px; }
.matrix svg { display: block; width: 100%; height: auto; }
.matrix image.cells { image-rendering: pixelated; }
.matrix text { fill: var(--quiet); font-size: 10.5px; }
.scale { display: flex; align-items: center; gap: 8px; font-size: 12px; color: var(--quiet); margin-top: 8px; }
.scale i { flex: 0 0 160px; height: 8px; border-radius: 4px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 10px 0 0; font-size: 14px; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 560px) { .charts { grid-template-columns: 1fr; } dl { grid-template-columns: 1fr; } }
`;
