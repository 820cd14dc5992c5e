// The page: which view is shown, which model is in use, and where pictures go.
import { RequestError, requestJson, setKeyPrompt } from "./api.mjs";
import { setUpAppearance } from "./appearance.mjs";
import { ClassifyView } from "./classify.mjs";
import { byId, element } from "./elements.mjs";
import { Embedder } from "./embedder.mjs";
import { acceptPictures } from "./intake.mjs";
import { askForKey } from "./key_dialog.mjs";
import { clearError, showError } from "./notices.mjs";
import { SearchView } from "./search.mjs";

const classify = new ClassifyView();
const search = new SearchView();

const viewName = () => (location.hash.startsWith("#search") ? "search" : "classify");

function showView() {
  const name = viewName();
  for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name === "search" ? "Search" : "Classify"} · eva-clip`;
  if (name === "search") search.show(new URLSearchParams(location.hash.split("?")[1] ?? ""));
}

function take({ pictures, isFolder, target, others }) {
  if (pictures.length === 0) {
    const detail =
      others > 0 ? "Drop JPEG, PNG, GIF, WebP, TIFF, AVIF, BMP or PNM files" : "The folder is empty";
    showError(Object.assign(new RequestError(415), { message: "No pictures found", detail }), {
      topic: "drop",
    });
    return;
  }
  clearError("drop");
  if (viewName() === "classify") classify.add(pictures);
  else if (isFolder || pictures.length > 1 || target.closest?.("#own-panel")) search.addOwn(pictures);
  else search.askPicture(pictures[0].file);
}

/** The index of the server; undefined where it has none. */
async function readIndex() {
  try {
    return await requestJson("v1/index");
  } catch (error) {
    if (error.status === 404) return undefined;
    throw error;
  }
}

function showModel(model) {
  const parts = [model.device?.toUpperCase(), model.precision].filter(Boolean);
  byId("device").textContent = parts.join(" · ");
  byId("model-name").textContent = byId("model").hidden ? model.id : "";
}

function use(model, index) {
  const embedder = new Embedder(model);
  showModel(model);
  classify.use(model, embedder);
  search.use(embedder, index);
}

async function connect() {
  try {
    const [{ data: models }, index] = await Promise.all([requestJson("v1/models"), readIndex()]);
    const choice = byId("model");
    choice.hidden = models.length < 2;
    choice.replaceChildren(...models.map(({ id }) => element("option", { value: id, textContent: id })));
    choice.onchange = () => use(models[choice.selectedIndex], index);
    byId("server-state").dataset.state = "ready";
    clearError("connection");
    use(models[0], index);
  } catch (error) {
    byId("server-state").dataset.state = "failed";
    byId("model-name").textContent = "Not connected";
    showError(error, { topic: "connection", again: connect });
  }
}

setUpAppearance();
setKeyPrompt(askForKey);
acceptPictures({
  take,
  invitation: () =>
    viewName() === "classify"
      ? "Drop to classify"
      : "One picture: search by it. Several, or a folder: search in them.",
});
addEventListener("hashchange", showView);
showView();
connect();
