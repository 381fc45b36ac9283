/** The form that asks for the token. */

import { login } from "./api.js";
import { h, write } from "./dom.js";
import { sentence } from "./words.js";

/** Show the form in `main`; call `then` when the token was right. */
export function show(main, then) {
  const problem = h("p", { class: "problem", id: "token-problem", role: "alert" });
  const field = h("input", {
    type: "password", id: "token", name: "token", required: true,
    autocomplete: "current-password", "aria-describedby": "token-help token-problem",
  });
  const form = h(
    "form",
    { class: "panel login", onsubmit: (event) => enter(event, field, problem, then) },
    h("h1", {}, "Sign in"),
    // Password managers keep a token only with a name.
    h("input", { type: "text", name: "username", value: "edgepose", autocomplete: "username", hidden: true }),
    h("label", { for: "token" }, "Token"),
    field,
    h("p", { class: "hint", id: "token-help" }, "The one that ", h("code", {}, "edgepose web token"), " printed on the device."),
    problem,
    h("button", { type: "submit", class: "main" }, "Sign in"),
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
