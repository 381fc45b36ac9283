/** Questions that have to be answered before anything else. */

import { h } from "./dom.js";

/**
 * Ask, and return the name of the answer; Escape is the last one.
 *
 * `answers` are `[name, words]`, the first of them recommended.
 */
export function ask(title, paragraphs, answers) {
  return new Promise((resolve) => {
    const buttons = answers.map(([name, words], index) =>
      h("button", { type: "submit", value: name, class: index ? "" : "main" }, words),
    );
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": "question",
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue || answers.at(-1)[0]);
        },
      },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "question" }, title),
        ...paragraphs.map((text) => h("p", {}, text)),
        h("div", { class: "row" }, ...buttons),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
