// Server-sent events by fetch: named events of any name, a status that can be told from a cut, and a place to go on from.

export class Refused extends Error {
  constructor(status) { super(`refused: ${status}`); this.status = status; }
}

export async function* events(url, { place = "", signal } = {}) {
  const headers = { Accept: "text/event-stream", "X-Spine-Page": "1" };
  if (place) headers["Last-Event-ID"] = place;
  const answer = await fetch(url, { headers, signal, cache: "no-store" });
  if (!answer.ok) throw new Refused(answer.status);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", event = { name: "message", id: "", data: "" };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== "") yield event;
        event = { name: "message", id: "", data: "" };
      } else if (line.startsWith(":")) {
        yield { name: "", id: "", data: "" }; // a ping: the line is alive
      } else {
        const at = line.indexOf(":");
        const field = at < 0 ? line : line.slice(0, at);
        const text = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
        if (field === "event") event.name = text;
        else if (field === "id") event.id = text;
        else if (field === "data") event.data += (event.data ? "\n" : "") + text;
      }
    }
  }
}

export function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}

// Doubling waits with jitter, so that the pages of a fleet do not come back in step.
export function backoff(tries, least = 500, most = 15000) {
  return Math.min(most, least * 2 ** Math.min(tries, 10)) * (0.5 + Math.random() / 2);
}
