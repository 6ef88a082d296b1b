// Search in all pages. What it searches in, index.js, is loaded when somebody first wants to; it works from a disk too.
"use strict";

const box = document.getElementById("search");
const list = document.getElementById("found");
const root = document.body.dataset.root;
const MOST = 12;
let loading = false;

box.hidden = false;

const here = document.querySelector("nav.pages [aria-current]");
if (here) here.closest("nav").scrollTop = here.offsetTop - window.innerHeight / 2;

function load() {
  if (loading) return;
  loading = true;
  const script = document.createElement("script");
  script.src = `${root}/site/index.js`;
  script.onload = show;
  document.head.append(script);
}

// A word in a heading weighs most, then one in the title of the page; each word must be somewhere.
function weigh(section, words) {
  let weight = 0;
  for (const word of words) {
    const found = 8 * section.head.toLowerCase().includes(word) + 4 * section.page.toLowerCase().includes(word)
      + section.text.toLowerCase().includes(word);
    if (!found) return 0;
    weight += found;
  }
  return weight;
}

function excerpt(text, words) {
  const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 40);
  return (at ? "… " : "") + text.slice(at, at + 130) + (text.length > at + 130 ? " …" : "");
}

function show() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  list.replaceChildren();
  list.hidden = !words.length || !window.sections;
  if (list.hidden) return;
  const best = window.sections.map((section) => [weigh(section, words), section]).filter(([weight]) => weight)
    .sort((one, other) => other[0] - one[0]).slice(0, MOST);
  for (const [, section] of best) {
    const link = document.createElement("a");
    const small = document.createElement("small");
    link.href = `${root}/${section.at}`;
    link.textContent = section.head === section.page ? section.page : `${section.page} › ${section.head}`;
    small.textContent = excerpt(section.text, words);
    link.append(small);
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  if (!best.length) {
    const item = document.createElement("li");
    const none = document.createElement("p");
    none.textContent = "Nothing has all of these words.";
    item.append(none);
    list.append(item);
  }
}

box.addEventListener("focus", load);
box.addEventListener("input", show);
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter") list.querySelector("a")?.click();
  if (event.key === "Escape") { box.value = ""; show(); box.blur(); }
});
list.addEventListener("click", () => { list.hidden = true; });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    box.focus();
  }
});
document.addEventListener("click", (event) => { if (!event.target.closest(".search")) list.hidden = true; });
