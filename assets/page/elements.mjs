// The document's elements, found by id and made from values.

/** The element of an id, which index.html has. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Properties are set as such, `data` as data attributes, names with a hyphen and `role` as attributes;
 * text is never read as HTML.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(made.dataset, value);
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Calls `work` once `delay` milliseconds have passed without another call. */
export function debounced(delay, work) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), delay);
  };
}

/** "1 picture", "5,231 pictures". */
export function count(number, noun) {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}
