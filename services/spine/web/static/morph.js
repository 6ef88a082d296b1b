// Makes what is shown equal to a newer page and keeps what is in somebody's hand: focus, selection, open parts, typed text.

// `disabled`: a button whose call is under way.
const KEPT = new Set(["open", "value", "checked", "disabled"]);

export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  attributes(old, fresh);
  if (old.localName === "time" && old.dataset.at === fresh.dataset.at && old.dataset.at) return;
  if (old.localName === "textarea" || old.localName === "select") return;
  children(old, fresh);
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name) && name !== "class") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    const keeps = KEPT.has(name) && old.localName !== "progress";
    if (!keeps && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!fresh.hasAttribute("class") && old.hasAttribute("class") && old.localName !== "time") old.removeAttribute("class");
}

const keyOf = (node) => (node.nodeType === 1 ? node.dataset.key : undefined);
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function children(old, fresh) {
  const byKey = new Map();
  for (const child of old.children) if (keyOf(child) !== undefined) byKey.set(keyOf(child), child);
  // What has gone goes first: nothing behind it has to move, and what is moved loses the focus.
  const wantedKeys = new Set([...fresh.children].map(keyOf));
  for (const [key, child] of byKey) {
    if (wantedKeys.has(key)) continue;
    child.remove();
    byKey.delete(key);
  }
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    let found = key === undefined ? (at && alike(at, wanted) ? at : null) : byKey.get(key);
    if (found && !alike(found, wanted)) found = null;
    if (found) {
      if (found !== at) old.insertBefore(found, at);
      else at = at.nextSibling;
      if (found.nodeType === 1) morph(found, wanted);
      else if (found.nodeValue !== wanted.nodeValue) found.nodeValue = wanted.nodeValue;
      byKey.delete(key);
    } else {
      old.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}
