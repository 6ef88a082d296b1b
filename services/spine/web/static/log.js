// A job's log: the end of it at once, what comes as it comes, what was before on demand; never more than a page can bear.

import { backoff, events, pause, Refused } from "./stream.js";
import { plain, write } from "./ansi.js";
import { size } from "./words.js";

const FIRST = 256 * 1024, PIECE = 256 * 1024;
const LINES_MOST = 5000;   // in the page; older ones go when newer come
const LINE_MOST = 4000;    // characters of a line that are shown
const box = document.getElementById("log");

class Viewer {
  constructor() {
    this.job = box.dataset.job;
    this.url = `/jobs/${encodeURIComponent(this.job)}/log`;
    this.picker = document.getElementById("log-fence");
    this.state = document.getElementById("log-state");
    this.running = null;
    this.reset();
  }

  reset() {
    box.replaceChildren();
    this.start = this.end = 0;      // bytes that are shown
    this.rest = "";                 // a line that is not over yet
    this.tail = null;
    this.decoder = new TextDecoder();
    this.style = plain();
    this.dropped = false;
    this.turn = (this.turn ?? 0) + 1; // what was asked for before belongs to another attempt
  }

  get follows() { return document.getElementById("log-follow").checked; }

  say(text) { if (this.state.textContent !== text) this.state.textContent = text; }

  async read(query) {
    const answer = await fetch(`${this.url}?${query}`, { headers: { "X-Spine-Page": "1" }, cache: "no-store" });
    if (!answer.ok) throw new Refused(answer.status);
    const head = (name) => Number(answer.headers.get(`Spine-Log-${name}`) ?? 0);
    return { data: new Uint8Array(await answer.arrayBuffer()), size: head("Size"), fence: head("Fence"), open: head("Open") === 1 };
  }

  // Shows an attempt's log from near its end on, and goes on with it.
  async open(fence) {
    this.running?.abort();
    const mine = (this.running = new AbortController());
    this.reset();
    for (let tries = 0; this.running === mine; tries++) {
      try {
        const asked = fence === null ? "" : `&fence=${fence}`;
        const probe = await this.read(`limit=1${asked}`);
        if (this.running !== mine) return;
        this.fence = probe.fence;
        this.start = this.end = Math.max(0, probe.size - FIRST);
        this.more();
        await this.follow(mine, fence ?? null);
        return;
      } catch (e) {
        if (e instanceof Refused && e.status === 404) { this.running = null; this.say("No log yet."); return; }
        if (e instanceof Refused && e.status < 500 && e.status !== 429) { this.running = null; this.say("The log cannot be read."); return; }
        await pause(backoff(tries), mine.signal);
      }
    }
  }

  async follow(mine, fence) {
    for (let tries = 0; this.running === mine; ) {
      try {
        const query = `follow=1&offset=${this.end}&fence=${this.fence}`;
        for await (const event of events(`${this.url}?${query}`, { signal: mine.signal })) {
          if (event.name === "") continue;
          tries = 0;
          const told = JSON.parse(event.data);
          if (event.name === "log") {
            const bytes = Uint8Array.from(atob(told.base64), (c) => c.charCodeAt(0));
            this.add(this.decoder.decode(bytes, { stream: true }));
            this.end = told.offset + bytes.length;
            this.say(`${size(this.end)}${fence === null ? "" : `, attempt with fence ${fence}`}`);
          } else if (event.name === "end") {
            this.add(this.decoder.decode());
            this.running = null;
            this.say(told.size ? `The log is over: ${size(told.size)}.` : "The attempt printed nothing.");
            return;
          }
        }
      } catch (e) {
        if (e instanceof Refused && e.status < 500 && e.status !== 429) { this.running = null; return; }
      }
      if (this.running !== mine) return;
      await pause(backoff(tries++, 300), mine.signal);
    }
  }

  add(text) {
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    if (this.rest.length > 4 * LINE_MOST) this.rest = this.rest.slice(0, LINE_MOST) + this.rest.slice(-LINE_MOST);
    this.tail?.remove();
    this.tail = null;
    const fresh = document.createDocumentFragment();
    for (const line of lines.slice(-LINES_MOST)) fresh.append(this.line(line, this.style));
    if (this.rest) fresh.append(this.tail = this.line(this.rest, { ...this.style }));
    box.append(fresh);
    for (let over = box.childElementCount - LINES_MOST; over > 0; over--) {
      const oldest = box.querySelector(".line");
      if (oldest) oldest.remove();
      this.dropped = true;
    }
    if (this.dropped) this.more();
    if (this.follows && near) box.scrollTop = box.scrollHeight;
    this.find();
  }

  line(text, style) {
    const element = document.createElement("div");
    element.className = "line";
    // A carriage return begins the line anew, as a terminal does it for progress bars.
    const shown = text.replace(/\r+$/, "").split("\r").pop();
    if (shown.length <= LINE_MOST) {
      write(element, shown, style);
    } else {
      write(element, shown.slice(0, LINE_MOST), style);
      const more = document.createElement("button");
      more.type = "button";
      more.className = "quiet";
      more.textContent = `… ${(shown.length - LINE_MOST).toLocaleString("en")} more characters`;
      more.onclick = () => { const rest = document.createElement("span"); write(rest, shown.slice(LINE_MOST, LINE_MOST + 100000), plain()); more.replaceWith(rest); };
      element.append(more);
    }
    return element;
  }

  // Offers what stands before the first byte that is shown.
  more() {
    let note = box.querySelector(".earlier");
    if (this.start === 0 && !this.dropped) { note?.remove(); return; }
    if (!note) {
      note = document.createElement("div");
      note.className = "earlier";
      box.prepend(note);
    }
    if (this.dropped) {
      note.textContent = "Older lines are not shown any more; download the log for all of it.";
    } else {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `Show what was before (${size(this.start)})`;
      button.onclick = () => this.earlier(button);
      note.replaceChildren(button);
    }
  }

  async earlier(button) {
    button.disabled = true;
    const turn = this.turn;
    try {
      const from = Math.max(0, this.start - PIECE);
      const found = await this.read(`offset=${from}&limit=${this.start - from}&fence=${this.fence}`);
      if (turn !== this.turn) return;
      const height = box.scrollHeight, fresh = document.createDocumentFragment(), style = plain();
      for (const line of new TextDecoder().decode(found.data).replace(/\n$/, "").split("\n")) fresh.append(this.line(line, style));
      this.start = from;
      box.querySelector(".earlier").after(fresh);
      this.more();
      box.scrollTop += box.scrollHeight - height;
      this.find();
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      button.disabled = false;
    }
  }

  // Brings the whole log of the attempt, in pieces as large as the server gives.
  async save(link) {
    const parts = [], turn = this.turn, fence = this.fence;
    let at = 0;
    try {
      for (;;) {
        const found = await this.read(`offset=${at}${fence === undefined ? "" : `&fence=${fence}`}`);
        parts.push(found.data);
        at += found.data.length;
        if (!found.data.length || at >= found.size) break;
        if (turn === this.turn) this.say(`Bringing ${size(at)} of ${size(found.size)} …`);
      }
    } catch (e) {
      if (e instanceof Refused || e instanceof TypeError) { this.say("The log could not be brought; try again."); return; }
      throw e;
    }
    const made = document.createElement("a");
    made.href = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
    made.download = link.download;
    made.click();
    setTimeout(() => URL.revokeObjectURL(made.href), 60000);
    this.say(`Saved ${size(at)}.`);
  }

  // Marks lines with the words, goes to the next one on Enter.
  find(next = false) {
    const words = document.getElementById("log-find").value.toLowerCase();
    const said = document.getElementById("log-hits");
    if (!words && !this.sought) return;
    this.sought = words;
    const hits = [];
    for (const line of box.children) {
      const hit = words !== "" && line.textContent.toLowerCase().includes(words);
      line.classList.toggle("hit", hit);
      if (hit) hits.push(line);
    }
    said.textContent = words ? `${hits.length} ${hits.length === 1 ? "line" : "lines"}` : "";
    if (!next || !hits.length) return;
    document.getElementById("log-follow").checked = false;
    const at = hits.findIndex((line) => line.classList.contains("at"));
    box.querySelector(".at")?.classList.remove("at");
    const chosen = hits[(at + 1) % hits.length];
    chosen.classList.add("at");
    chosen.scrollIntoView({ block: "center" });
  }
}

if (box) {
  const viewer = new Viewer();
  const begin = () => viewer.open(viewer.picker.value ? Number(viewer.picker.value) : null);
  const tools = {
    "log-wrap": (event) => box.classList.toggle("wrap", event.target.checked),
    "log-follow": (event) => { if (event.target.checked) box.scrollTop = box.scrollHeight; },
    "log-find": () => viewer.find(),
    "log-fence": () => begin(),
  };
  for (const [id, act] of Object.entries(tools)) document.getElementById(id).addEventListener("input", act);
  document.getElementById("log-find").addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); viewer.find(true); }
  });
  document.getElementById("log-save").addEventListener("click", (event) => { event.preventDefault(); viewer.save(event.currentTarget); });
  // Who scrolls up reads; who is at the end again follows.
  box.addEventListener("scroll", () => {
    const end = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    if (!end && document.getElementById("log-follow").checked && box.matches(":hover, :focus")) document.getElementById("log-follow").checked = false;
  }, { passive: true });
  // A claim begins an attempt, whose log is the one to look at.
  document.addEventListener("spine:fresh", () => {
    const newest = document.querySelector("#timeline .tries li")?.dataset.key;
    if (!newest || viewer.picker.querySelector(`option[value="${CSS.escape(newest)}"]`)) return;
    const option = document.createElement("option");
    option.value = newest;
    option.textContent = `attempt with fence ${newest}`;
    viewer.picker.prepend(option);
    viewer.picker.value = newest;
    document.getElementById("log-tools").hidden = false;
    begin();
  });
  if (box.dataset.has === "1") begin();
  else viewer.say("No attempt has begun yet.");
}
