/** Requests to the daemon. Every failure has a message. */

/** A refused request. */
export class Refused extends Error {
  constructor(status, answer) {
    super(answer.error ?? `the daemon answered ${status}`);
    this.status = status;
    this.problems = answer.problems ?? [];
    this.revision = answer.revision ?? null;
  }
}

export const session = () => ask("GET", "api/session");
export const login = (token) => ask("POST", "api/login", { token });
export const logout = () => ask("POST", "api/logout", {});
export const configuration = () => ask("GET", "api/config");

/** Save changes; fails with 409 if the revision of the file is no longer `revision`. */
export const save = (changes, revision) =>
  ask("PUT", "api/config", changes, { headers: { "If-Match": `"${revision}"` } });

/** Apply settings of one camera; works also while the page is being closed. */
export const settings = (camera, values) =>
  ask("POST", `api/cameras/${encodeURIComponent(camera)}/set`, values, { keepalive: true });

async function ask(method, path, body, { headers = {}, ...options } = {}) {
  const request = { method, headers, ...options };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { ...headers, "Content-Type": "application/json" };
  }
  const response = await fetched(path, request);
  const answer = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

async function fetched(path, request) {
  try {
    return await fetch(path, request);
  } catch {
    throw new Refused(0, { error: "the daemon does not answer; is it running?" });
  }
}
