/** The login form. */

import { login } from "./api.js";
import { el, write } from "./dom.js";
import { sentence } from "./format.js";

/** Show the form in `main`; call `then` after a correct token. */
export function show(main, then) {
  const problem = el("p", { class: "problem", id: "token-problem", role: "alert" });
  const field = el("input", {
    type: "password", id: "token", name: "token", required: true,
    autocomplete: "current-password", "aria-describedby": "token-help token-problem",
  });
  const form = el(
    "form",
    { class: "panel login", onsubmit: (event) => enter(event, field, problem, then) },
    el("h1", {}, "Sign in"),
    // Password managers store a password only with a user name.
    el("input", { type: "text", name: "username", value: "edgepose", autocomplete: "username", hidden: true }),
    el("label", { for: "token" }, "Token"),
    field,
    el("p", { class: "hint", id: "token-help" }, "The token that ", el("code", {}, "edgepose web token"), " printed on the device."),
    problem,
    el("button", { type: "submit", class: "main" }, "Sign in"),
  );
  main.replaceChildren(form);
  field.focus();
}

async function enter(event, field, problem, then) {
  event.preventDefault();
  try {
    await login(field.value.trim());
  } catch (refused) {
    write(problem, `${sentence(refused.message)}.`);
    field.setAttribute("aria-invalid", "true");
    field.select();
    return;
  }
  then();
}
