// The control API of the sandbox: docs/sandbox.md.

const ROOT = "/_control/";

/** The control API refused, or could not be reached (`status` 0). */
export class ControlError extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function call(method, path, body) {
  const options = { method };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await fetch(ROOT + path, options);
  } catch (error) {
    throw new ControlError(0, error.message);
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new ControlError(response.status, response.statusText);
  }
  if (!response.ok) throw new ControlError(response.status, answer.error || response.statusText);
  return { answer, seq: Number(response.headers.get("X-Sandbox-Seq")) };
}

const only = async (...args) => (await call(...args)).answer;

export const get = (path) => only("GET", path);
export const post = (path, body = {}) => only("POST", path, body);
export const patch = (path, body) => only("PATCH", path, body);
export const remove = (path) => only("DELETE", path);

/** GET with the number of the last event before it: what came later must be applied on top of the answer. */
export const getNumbered = (path) => call("GET", path);

/** An act of a person: send, press, stop, … */
export const act = (person, name, body = {}) => post(`persons/${person}/${name}`, body);

export const fileUrl = (fileId) => `${ROOT}files/${encodeURIComponent(fileId)}`;

export const eventsUrl = (since) => {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}${ROOT}events?since=${since}`;
};
