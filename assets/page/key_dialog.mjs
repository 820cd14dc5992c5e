// Asks for the server's API key.
import { byId } from "./elements.mjs";

/** Resolves to the key, or to undefined when the visitor has none; `isWrong` if one was refused. */
export function askForKey(isWrong) {
  const dialog = byId("key-dialog");
  byId("key-text").textContent = isWrong
    ? "The server refused this key. Is it complete?"
    : "This server asks for a key.";
  byId("key-text").classList.toggle("wrong", isWrong);
  byId("key").value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    const close = () => resolve(dialog.returnValue === "use" ? byId("key").value.trim() : undefined);
    dialog.addEventListener("close", close, { once: true });
  });
}
