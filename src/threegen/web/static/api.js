// Requests to the server: the newest question wins, older ones are dropped.
import { t } from "./text.js";

export class Refusal extends Error {
  constructor(status, body, wait) {
    super(t(`error.${body.code}`, {}, body.error || t("error.other")));
    this.status = status; this.code = body.code; this.wait = wait;
  }
}

async function sent(path, body, signal) {
  const raw = body instanceof Blob;
  const response = await fetch(path, {
    method: "POST", signal, body: raw ? body : JSON.stringify(body),
    headers: { "content-type": raw ? "application/octet-stream" : "application/json" },
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Refusal(response.status, problem, Number(response.headers.get("retry-after") || 0));
  }
  return response;
}

export const post = async (path, body) => (await sent(path, body)).json();

/** Call `each` with every line of an answer, as it comes. */
export async function lines(path, body, each, signal) {
  const reader = (await sent(path, body, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) each(JSON.parse(part));
  }
}

const PATIENCE = 400; // ms after which an answer that is still under way is given up for a newer question

/** One question at a time: a newer one waits for the answer under way, and replaces whatever waited before. */
export class Latest {
  constructor(path, { each, problem = () => {}, idle = () => {} }) {
    Object.assign(this, { path, each, problem, idle, waiting: null, running: null, since: 0 });
  }

  ask(body) {
    this.waiting = body;
    if (!this.running) this.next();
    else if (performance.now() - this.since > PATIENCE) this.running.abort();
  }

  drop() { this.waiting = null; this.running?.abort(); }

  async next() {
    while (this.waiting) {
      const body = this.waiting, control = new AbortController();
      this.waiting = null; this.running = control; this.since = performance.now();
      try {
        await lines(this.path, body, (line) => { if (!control.signal.aborted) this.each(line, body); }, control.signal);
      } catch (problem) {
        if (problem.status === 503) {
          await new Promise((resolve) => setTimeout(resolve, 1000 * (problem.wait || 1) * (0.5 + Math.random())));
          this.waiting ??= body;
        } else if (problem.name !== "AbortError") this.problem(problem, body);
      }
    }
    this.running = null;
    this.idle();
  }
}
