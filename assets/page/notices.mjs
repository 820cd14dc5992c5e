// Messages about what failed, in the page's alert region.
import { isAbort } from "./api.mjs";
import { byId, element } from "./elements.mjs";

/** What failed and why, as one line. */
export function describeError(error) {
  return error.detail ? `${error.message}: ${error.detail}` : error.message;
}

export function clearNotices() {
  byId("notices").replaceChildren();
}

/** Shows an error, in place of an earlier one of the same `topic`; `again` is what "Try again" does. */
export function showError(error, { topic = "page", again } = {}) {
  if (isAbort(error)) return;
  if (error.name !== "RequestError") console.error(error);
  const wait = error.retryAfter ? ` Try again in ${Math.ceil(error.retryAfter)} s.` : "";
  const close = () => notice.remove();
  const retry = () => {
    close();
    again();
  };
  const notice = element(
    "div",
    { className: "notice", data: { topic } },
    element(
      "p",
      {},
      element("strong", { textContent: `${error.message}.` }),
      ` ${sentence(error.detail ?? "")}${wait}`,
    ),
    ...(again ? [button("Try again", retry)] : []),
    button("Dismiss", close),
  );
  clearError(topic);
  byId("notices").append(notice);
}

export function clearError(topic) {
  document.querySelector(`.notice[data-topic="${topic}"]`)?.remove();
}

function button(textContent, onclick) {
  return element("button", { type: "button", className: "button", textContent, onclick });
}

function sentence(text) {
  if (text === "") return "";
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
}
