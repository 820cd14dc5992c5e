// Pictures from the clipboard, from drag and drop, and from file dialogs.
import { byId } from "./elements.mjs";

/** Endings of formats that the server reads, for files to which the system gives no type. */
const IMAGE_NAME = /\.(jpe?g|jfif|png|gif|webp|tiff?|avif|bmp|p[bgpn]m)$/i;

const isImage = (file) => file.type.startsWith("image/") || IMAGE_NAME.test(file.name);

/** Files of a folder that was dropped, with their paths inside it; `readEntries` gives at most 100 at a time. */
async function filesOfEntry(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const inner of entries) files.push(...(await filesOfEntry(inner)));
  }
}

/** What was dropped. Entries must be taken before the event's handler returns; afterwards the browser forgets them. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files].map((file) => ({ file, path: file.name }));
  const isFolder = entries.some((entry) => entry.isDirectory);
  const found = isFolder ? (await Promise.all(entries.map(filesOfEntry))).flat() : files;
  return { pictures: found.filter(({ file }) => isImage(file)), isFolder, others: found.length };
}

/** The pictures of a file dialog, by their paths. */
export function chosen(input) {
  const found = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  input.value = "";
  return found.filter(({ file }) => isImage(file));
}

/** Lets `button` open the file dialog of `input`, and gives its pictures to `take`. */
export function chooseWith(button, input, take) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => take(chosen(input)));
}

/**
 * Gives pictures that are pasted or dropped anywhere on the page to `take({ pictures, isFolder, target })`, with the element
 * that they were dropped on; `invitation` is what to say while they are held over the page.
 */
export function acceptPictures({ take, invitation }) {
  document.addEventListener("paste", (event) => {
    const pictures = [...(event.clipboardData?.files ?? [])]
      .filter(isImage)
      .map((file) => ({ file, path: file.name }));
    if (pictures.length === 0) return;
    event.preventDefault();
    take({ pictures, isFolder: false, target: event.target });
  });

  const veil = byId("drop-veil");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const show = (isShown) => {
    if (isShown) veil.firstElementChild.textContent = invitation();
    veil.hidden = !isShown;
  };
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event) && depth++ === 0) show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --depth === 0) show(false);
  });
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    show(false);
    const target = event.target;
    take({ ...(await dropped(event.dataTransfer)), target });
  });
}
