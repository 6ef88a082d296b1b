// What a person does on a page, by the API: buttons and forms that say what they call, a dialog that asks, a word after.

import { refresh, signIn } from "./live.js";

export function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `ui-${[...bytes].map((b) => b.toString(16).padStart(2, "0")).join("")}`;
}

export class Failed extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

// Carries out a call; a repeat after a cut goes under the same key, so that it is done once.
export async function call(method, path, body, key = freshKey()) {
  const headers = { "X-Spine-Page": "1" };
  if (method !== "GET") Object.assign(headers, { "Content-Type": "application/json", "Idempotency-Key": key });
  const sent = { method, headers, cache: "no-store", signal: AbortSignal.timeout(30000) };
  if (method !== "GET") sent.body = JSON.stringify(body ?? {});
  let answer;
  try { answer = await fetch(path, sent); } catch {
    try { answer = await fetch(path, { ...sent, signal: AbortSignal.timeout(30000) }); } catch {
      throw new Failed({ detail: "The server does not answer. Nothing more is known; look again before you repeat it." }, 0);
    }
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) { signIn(); throw new Failed({ detail: "Sign in again." }, 401); }
  if (!answer.ok) throw new Failed(said, answer.status);
  return said;
}

export function toast(text, bad = false) {
  const box = document.createElement("div");
  box.className = bad ? "toast bad" : "toast";
  if (bad) box.setAttribute("role", "alert");
  box.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "quiet";
  close.textContent = "✕";
  close.setAttribute("aria-label", "Close this message");
  close.onclick = () => box.remove();
  box.append(close);
  document.getElementById("toasts").append(box);
  if (!bad) setTimeout(() => box.remove(), 5000);
}

// Who waits for the answer. The event of a dialog that was closed may come when the next question is open already.
let answer = null;
const dialog = document.getElementById("ask");
dialog.addEventListener("close", () => {
  if (dialog.open) return;
  answer?.(dialog.returnValue === "yes" ? dialog.querySelector("textarea").value : null);
  answer = null;
});

// Asks; the answer is null for no, else the text that was typed.
export function ask(title, { text = "", label = "", required = false, act = "Do it" } = {}) {
  answer?.(null);
  dialog.querySelector("#ask-title").textContent = title;
  dialog.querySelector("#ask-text").textContent = text;
  const field = dialog.querySelector("#ask-field"), area = field.querySelector("textarea");
  field.hidden = !label;
  field.querySelector("span").textContent = label;
  area.value = "";
  area.required = required;
  dialog.querySelector("button[value=yes]").textContent = act;
  dialog.querySelector("button[value=no]").formNoValidate = true;
  dialog.returnValue = "no";
  dialog.showModal();
  if (label) area.focus();
  return new Promise((done) => { answer = done; });
}

async function press(button) {
  const [method, path] = button.dataset.call.split(" ");
  const body = JSON.parse(button.dataset.body || "{}");
  if (button.dataset.ask || button.dataset.field) {
    const { field, label = "", required } = button.dataset;
    const said = await ask(button.dataset.ask || button.textContent, { label, required: required !== undefined, act: button.textContent });
    if (said === null) return;
    if (field && said.trim()) body[field] = said.trim();
  }
  await carryOut(button, async () => {
    await call(method, path, body);
    toast(`${button.textContent.trim()}: done.`);
  });
}

async function submit(form) {
  const [method, path] = form.dataset.call.split(" ");
  await carryOut(form.querySelector("button:not([type=button])"), async () => {
    await call(method, path, Object.fromEntries(new FormData(form)));
    form.reset();
  });
}

// Does it once, says why it was refused, and looks what the page shows now.
async function carryOut(button, act) {
  button.disabled = true;
  try {
    await act();
  } catch (e) {
    if (e instanceof Failed) toast(e.message, true);
    else throw e;
  } finally {
    button.disabled = false;
    refresh(true);
  }
}

async function copy(button) {
  const text = button.dataset.copy || button.parentElement.querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text); // there only over HTTPS and on this machine
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied.");
}

async function join(form) {
  const given = new FormData(form);
  try {
    const made = await call("POST", "/machines/join-codes", { name: given.get("name"), ttlSeconds: Number(given.get("ttlSeconds")) });
    document.getElementById("joined-name").textContent = made.name;
    document.getElementById("joined-line").textContent = made.command;
    document.getElementById("joined-until").dataset.at = Date.parse(made.expiresAt);
    document.getElementById("joined").hidden = false;
    form.reset();
  } catch (e) {
    if (e instanceof Failed) toast(e.message, true);
    else throw e;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.call) press(button);
  else if (button.dataset.copy !== undefined) copy(button);
  else if (button.id === "theme") {
    const html = document.documentElement;
    const dark = html.dataset.theme ? html.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    html.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("spine-theme", html.dataset.theme); } catch { /* for this page alone */ }
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id === "join") { event.preventDefault(); join(form); }
  else if (form.dataset.call) { event.preventDefault(); submit(form); }
});

// What somebody has ticked off of a how-to-test stays ticked in this browser.
function ticks() {
  for (const box of document.querySelectorAll("input[data-keep]")) {
    try { box.checked = localStorage.getItem(`spine-tick:${box.dataset.keep}`) === "1"; } catch { return; }
  }
}
document.addEventListener("change", ({ target }) => {
  if (!target.dataset?.keep) return;
  try {
    if (target.checked) localStorage.setItem(`spine-tick:${target.dataset.keep}`, "1");
    else localStorage.removeItem(`spine-tick:${target.dataset.keep}`);
  } catch { /* kept nowhere */ }
});
document.addEventListener("spine:fresh", ticks);
ticks();
