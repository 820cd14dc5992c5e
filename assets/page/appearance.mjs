// Light or dark: as the system says, unless the visitor chose.
import { byId, element } from "./elements.mjs";

const CHOICE = "eva-clip-appearance";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () =>
  (document.documentElement.dataset.appearance ?? (prefersDark.matches ? "dark" : "light")) === "dark";

function show() {
  const button = byId("appearance");
  const name = `Switch to ${isDark() ? "light" : "dark"} colors`;
  button.setAttribute("aria-label", name);
  button.title = name;
  button.dataset.shows = isDark() ? "sun" : "moon";
}

export function setUpAppearance() {
  const chosen = localStorage.getItem(CHOICE);
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.appearance = chosen;
  byId("appearance").append(element("span", { "aria-hidden": "true" }));
  byId("appearance").addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.appearance = next;
    localStorage.setItem(CHOICE, next);
    show();
  });
  prefersDark.addEventListener("change", show);
  show();
}
