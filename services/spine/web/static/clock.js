// Moments as clocks. All go by the server's time: the clock of this device may be off.

let ahead = Number(document.documentElement.dataset.now) - Date.now();

export function setServerTime(ms) {
  if (ms > 0) ahead = ms - Date.now();
}

export function serverNow() {
  return Date.now() + ahead;
}

// The same words as the server's own: `12 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`.
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function short(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (s >= length) return `${Math.floor(s / length)} ${unit}`;
  }
  return `${s} s`;
}

export function words(at, kind, now) {
  const since = now - at;
  switch (kind) {
    case "span": return `for ${span(since)}`;
    case "lease": return since >= 0 ? `over since ${short(since)}` : `in ${span(-since)}`;
    case "until": return since >= 0 ? `${short(since)} ago` : `in ${span(-since)}`;
    default: return since < 1500 && since > -60000 ? "just now" : since >= 0 ? `${short(since)} ago` : `in ${short(-since)}`;
  }
}

export function paint(root = document) {
  const now = serverNow();
  for (const time of root.querySelectorAll("time[data-at]")) {
    const at = Number(time.dataset.at);
    if (!at) continue;
    const said = words(at, time.dataset.kind, now);
    if (time.textContent !== said) time.textContent = said;
    if (time.dataset.kind === "lease") time.classList.toggle("over", at <= now);
  }
}

paint();
setInterval(() => { if (!document.hidden) paint(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) paint(); });
