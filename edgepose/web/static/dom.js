/** Elements, words for screen readers, and what the browser remembers. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * Keys that begin with "on" are listeners, true and false are attributes that are there or not,
 * all others are attributes. Children are elements or texts.
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an element of a drawing. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else set(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** Set an attribute, or take it away for false and null; touch nothing that is right already. */
export function set(element, name, value) {
  const missing = value === false || value === null || value === undefined;
  const text = value === true ? "" : String(value);
  if (missing) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Write a text where it differs: screen readers and layouts are not woken for nothing. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tell a screen reader, when it has finished what it is saying. */
export function say(text) {
  spoken(document.getElementById("said"), text);
}

/** Tell a screen reader at once. */
export function alarm(text) {
  spoken(document.getElementById("alarm"), text);
}

function spoken(region, text) {
  // The same sentence twice would not be read again without a change.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/** Read what this browser remembers; null where it remembers nothing. */
export function recall(key) {
  try {
    return localStorage.getItem(`edgepose-${key}`);
  } catch {
    return null;
  }
}

/** Remember a text in this browser, if it lets us; null forgets. */
export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(`edgepose-${key}`);
    else localStorage.setItem(`edgepose-${key}`, value);
  } catch {
    // Private windows may keep nothing: then it holds until the page is closed.
  }
}
