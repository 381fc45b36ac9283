/** Modal questions. */

import { el } from "./dom.js";

/**
 * Ask a question and return the name of the answer; Escape selects the last one.
 *
 * `answers` are pairs `[name, label]`; the first one is recommended.
 */
export function ask(title, paragraphs, answers) {
  return new Promise((resolve) => {
    const buttons = answers.map(([name, words], index) =>
      el("button", { type: "submit", value: name, class: index ? "" : "main" }, words),
    );
    const dialog = el(
      "dialog",
      {
        "aria-labelledby": "question",
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue || answers.at(-1)[0]);
        },
      },
      el(
        "form",
        { method: "dialog" },
        el("h2", { id: "question" }, title),
        ...paragraphs.map((text) => el("p", {}, text)),
        el("div", { class: "row" }, ...buttons),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
