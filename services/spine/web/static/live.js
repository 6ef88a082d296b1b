// Pages that stay true: one stream of events for all tabs of a browser, and the page's parts fetched anew when it tells.
//
// The tab that holds the lease in localStorage listens and tells the others. A hidden tab is slow to renew, so that one
// that is seen takes over; for a moment two may listen, which costs a stream and harms nothing.

import { backoff, events, pause, Refused } from "./stream.js";
import { morph } from "./morph.js";
import { paint, setServerTime } from "./clock.js";

const LEASE = "spine-live", LEASE_MS = 6000, RENEW_MS = 2000;
const PACE_MS = 800;      // events may come by the thousand: a page is fetched at most so often
const SILENCE_MS = 40000; // the server says something every 15 s
const RUNNING_MS = 5000;  // progress and leases move without an event
const SETTLED_MS = 3500;  // the server counts jobs every 3 s: after the last event a page looks once more
const me = Math.random().toString(36).slice(2);
const html = document.documentElement;
const own = document.getElementById("head")?.dataset.job;
const channel = "BroadcastChannel" in window ? new BroadcastChannel("spine-live") : null;
const policy = window.trustedTypes?.createPolicy("spine", { createHTML: (text) => text });

let place = html.dataset.cursor, listening = null, dirty = false, fetching = false, last = 0, timer = 0, left = false;
let failures = 0, settling = 0;

function show(state, text) {
  const light = document.getElementById("live");
  if (!light || light.dataset.state === state) return;
  light.dataset.state = state;
  light.title = text;
  document.getElementById("live-text").textContent = ` ${text}`;
}

// --- the page -------------------------------------------------------------------------------------------------------

export function refresh(now = false) {
  dirty = true;
  if (document.hidden || left) return;
  clearTimeout(timer);
  timer = setTimeout(load, now ? 0 : Math.max(0, last + PACE_MS - Date.now()));
}

async function load() {
  if (fetching) return; // it is looked at again when that is over
  fetching = true;
  dirty = false;
  last = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { "X-Spine-Page": "1" }, cache: "no-store", signal: AbortSignal.timeout(30000) });
    if (answer.status === 401) return signIn();
    if (!answer.ok) throw new Refused(answer.status);
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
    const seen = fresh.documentElement.dataset;
    if (seen.version !== html.dataset.version) return location.reload(); // another release: other programs too
    html.dataset.cursor = seen.cursor;
    setServerTime(Number(seen.now));
    document.title = fresh.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = part.id && fresh.getElementById(part.id);
      if (other) morph(part, other);
    }
    failures = 0;
    paint();
    document.dispatchEvent(new CustomEvent("spine:fresh"));
  } catch (e) {
    if (e instanceof Refused && e.status < 500 && e.status !== 429) { show("off", `the page cannot be read (${e.status})`); return; }
    dirty = true;
    failures++;
  } finally {
    fetching = false;
    if (failures) setTimeout(refresh, backoff(failures));
    else if (dirty) refresh();
  }
}

export function signIn() {
  if (left) return;
  left = true;
  location.assign(`/ui/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

function concerns(told) {
  return !own || told.jobId === own || !told.jobId;
}

function heard(told) {
  if (told.here) show("on", "live");
  if (told.at && told.at !== html.dataset.cursor && told.greeting) refresh();
  if (told.type === "gap" || (told.type && concerns(told))) {
    refresh();
    clearTimeout(settling);
    settling = setTimeout(refresh, SETTLED_MS);
  }
}

// --- one stream for all tabs ----------------------------------------------------------------------------------------

function holder() {
  try {
    const kept = JSON.parse(localStorage.getItem(LEASE) ?? "null");
    return kept && kept.until > Date.now() && kept.until < Date.now() + 2 * LEASE_MS ? kept.id : null;
  } catch { return null; }
}

function renew() {
  if (document.hidden && listening === null) return;
  const held = holder();
  if (held !== null && held !== me) { stop(); return; }
  try { localStorage.setItem(LEASE, JSON.stringify({ id: me, until: Date.now() + LEASE_MS })); } catch { /* alone, then */ }
  if (listening === null) listen();
}

function stop() {
  listening?.abort();
  listening = null;
}

function tell(message) {
  heard(message);
  channel?.postMessage(message);
}

async function listen() {
  const mine = (listening = new AbortController());
  let tries = 0;
  place = html.dataset.cursor; // what this page shows; the others look whether they show the same
  channel?.postMessage({ here: true, greeting: true, at: place });
  while (listening === mine) {
    let watch = 0;
    const cut = new AbortController();
    const end = () => cut.abort();
    mine.signal.addEventListener("abort", end);
    const alive = () => { clearTimeout(watch); watch = setTimeout(end, SILENCE_MS); };
    try {
      alive();
      for await (const event of events("/events", { place, signal: cut.signal })) {
        alive();
        tries = 0;
        if (event.name === "") { tell({ here: true }); continue; }
        if (event.id) place = event.id;
        const data = event.name === "gap" ? {} : JSON.parse(event.data);
        tell({ here: true, type: event.name, jobId: data.jobId ?? null });
      }
    } catch (e) {
      if (e instanceof Refused && e.status === 401) { stop(); refresh(true); return; }
    } finally {
      clearTimeout(watch);
      mine.signal.removeEventListener("abort", end);
    }
    if (listening !== mine) return;
    if (tries > 0) show("off", "not connected; trying again"); // one cut is what proxies do
    await pause(backoff(tries++), mine.signal);
  }
}

if (channel) {
  channel.onmessage = ({ data }) => {
    if (data.greet && listening !== null) channel.postMessage({ here: true, greeting: true, at: place });
    else heard(data);
  };
}
renew();
if (listening === null) channel?.postMessage({ greet: true });
setInterval(renew, RENEW_MS);
setInterval(() => {
  if (!document.hidden && document.querySelector("time[data-kind=lease]")) refresh();
}, RUNNING_MS);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  renew();
  if (listening === null) channel?.postMessage({ greet: true });
  if (dirty || Date.now() - last > RUNNING_MS) refresh();
});
addEventListener("pagehide", () => {
  if (listening === null) return;
  stop();
  try { if (holder() === me) localStorage.removeItem(LEASE); } catch { /* it ends by itself */ }
});
addEventListener("pageshow", (event) => { if (event.persisted) { renew(); refresh(true); } });
