/** Elements, announcements for screen readers, and values stored in the browser. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an element.
 *
 * Keys that begin with "on" add listeners, all others set attributes; true sets an empty attribute,
 * false none. Children are elements or texts.
 */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Create an SVG element. */
export function svg(tag, properties = {}, ...children) {
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

/** Set an attribute, or remove it for false and null. Does nothing without a change. */
export function set(element, name, value) {
  const missing = value === false || value === null || value === undefined;
  const text = value === true ? "" : String(value);
  if (missing) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Set a text if it differs, which avoids unnecessary layouts and announcements. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Announce to screen readers without interrupting (polite). */
export function say(text) {
  spoken(document.getElementById("announcement"), text);
}

/** Announce to screen readers immediately (assertive). */
export function alarm(text) {
  spoken(document.getElementById("alarm"), text);
}

function spoken(region, text) {
  // Screen readers announce a text only if it changes.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/** Read a stored value; null if there is none. */
export function recall(key) {
  try {
    return localStorage.getItem(`edgepose-${key}`);
  } catch {
    return null;
  }
}

/** Store a text in this browser; null removes it. */
export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(`edgepose-${key}`);
    else localStorage.setItem(`edgepose-${key}`, value);
  } catch {
    // Private windows may not allow storage.
  }
}
