// Terminal colours as spans; every other control sequence is dropped. State lasts from line to line.

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// Colours and styles (CSI … m), other CSI, OSC up to its end, other escapes, and what is no text.
const SEQUENCE = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export const plain = () => ({ fg: null, bg: null, bold: false, dim: false, italic: false, under: false, flip: false });

function cube(n) {
  if (n < 16) return { name: (n > 7 ? "b-" : "") + NAMES[n % 8] };
  if (n > 231) { const v = 8 + (n - 232) * 10; return { rgb: `rgb(${v} ${v} ${v})` }; }
  const level = (v) => (v ? 55 + 40 * v : 0);
  n -= 16;
  return { rgb: `rgb(${level(Math.floor(n / 36))} ${level(Math.floor(n / 6) % 6)} ${level(n % 6)})` };
}

function style(state, codes) {
  const list = codes === "" ? [0] : codes.split(/[;:]/).map((c) => Number(c || 0));
  for (let i = 0; i < list.length; i++) {
    const c = list[i];
    if (c === 0) Object.assign(state, plain());
    else if (c === 1) state.bold = true;
    else if (c === 2) state.dim = true;
    else if (c === 3) state.italic = true;
    else if (c === 4) state.under = true;
    else if (c === 7) state.flip = true;
    else if (c === 22) state.bold = state.dim = false;
    else if (c === 23) state.italic = false;
    else if (c === 24) state.under = false;
    else if (c === 27) state.flip = false;
    else if (c >= 30 && c <= 37) state.fg = { name: NAMES[c - 30] };
    else if (c >= 90 && c <= 97) state.fg = { name: `b-${NAMES[c - 90]}` };
    else if (c >= 40 && c <= 47) state.bg = { name: NAMES[c - 40] };
    else if (c >= 100 && c <= 107) state.bg = { name: `b-${NAMES[c - 100]}` };
    else if (c === 39) state.fg = null;
    else if (c === 49) state.bg = null;
    else if (c === 38 || c === 48) {
      let colour = null;
      if (list[i + 1] === 5) { colour = cube(Math.min(255, list[i + 2] ?? 0)); i += 2; }
      else if (list[i + 1] === 2) {
        const [r, g, b] = [2, 3, 4].map((k) => Math.min(255, list[i + k] ?? 0));
        colour = { rgb: `rgb(${r} ${g} ${b})` };
        i += 4;
      }
      if (colour) state[c === 38 ? "fg" : "bg"] = colour;
    }
  }
}

function piece(text, state) {
  const { fg, bg, bold, dim, italic, under, flip } = state;
  if (!(fg || bg || bold || dim || italic || under || flip)) return document.createTextNode(text);
  const span = document.createElement("span");
  span.textContent = text;
  const names = [bold && "a-bold", dim && "a-dim", italic && "a-italic", under && "a-under", flip && "a-flip"];
  if (fg?.name) names.push(`a-${fg.name}`);
  if (bg?.name) names.push(`a-on-${bg.name}`);
  span.className = names.filter(Boolean).join(" ");
  if (fg?.rgb) span.style.color = fg.rgb;
  if (bg?.rgb) span.style.backgroundColor = bg.rgb;
  return span;
}

// Puts a line's text into an element.
export function write(element, line, state) {
  let at = 0;
  for (const found of line.matchAll(SEQUENCE)) {
    if (found.index > at) element.append(piece(line.slice(at, found.index), state));
    if (found[1] !== undefined) style(state, found[1]);
    at = found.index + found[0].length;
  }
  if (at < line.length) element.append(piece(line.slice(at), state));
}
