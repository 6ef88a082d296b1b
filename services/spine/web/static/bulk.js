// One verb on all jobs that match the filter: counted first, confirmed, then carried out in steps that show how far it is;
// and a dead letter edited and submitted anew.

import { ask, call, Failed, freshKey, toast } from "./act.js";
import { refresh } from "./live.js";

const WORDS = { cancel: "Cancel", retry: "Retry", release: "Give back" };

async function carryOut(box, verb) {
  const filter = JSON.parse(box.dataset.filter);
  const buttons = box.querySelectorAll("button"), bar = document.getElementById("bulk-bar");
  const state = document.getElementById("bulk-state");
  for (const button of buttons) button.disabled = true;
  try {
    const { matched, atLeast } = await call("POST", `/jobs/bulk/${verb}`, { ...filter, dryRun: true });
    if (matched === 0 && !atLeast) { toast(`None of these jobs can be ${verb === "cancel" ? "cancelled" : verb === "retry" ? "retried" : "given back"}.`); return; }
    const count = (atLeast ? "at least " : "") + matched.toLocaleString("en");
    const said = await ask(`${WORDS[verb]} ${count} ${matched === 1 ? "job" : "jobs"}?`, {
      text: "All that match the filter now, on every page of the list." +
        (atLeast ? " There are too many jobs to look through them all for a number: more may match." : ""),
      label: verb === "retry" ? "" : "Why (kept with each job)", act: `${WORDS[verb]} ${count}`,
    });
    if (said === null) return;
    bar.hidden = false;
    bar.max = Math.max(matched, 1);
    let done = 0, cursor = null;
    do {
      const step = { ...filter, cursor, ...(said.trim() ? { reason: said.trim() } : {}) };
      const found = await call("POST", `/jobs/bulk/${verb}`, step, freshKey());
      done += found.changed;
      cursor = found.nextCursor;
      bar.value = Math.min(done, matched);
      state.textContent = `${done.toLocaleString("en")} of ${count}`;
    } while (cursor);
    toast(`${done.toLocaleString("en")} changed.`);
  } catch (e) {
    if (e instanceof Failed) toast(e.message, true);
    else throw e;
  } finally {
    for (const button of buttons) button.disabled = false;
    bar.hidden = true;
    state.textContent = "";
    refresh(true);
  }
}

document.getElementById("bulk")?.addEventListener("click", ({ target, currentTarget }) => {
  const verb = target.closest("button")?.dataset.bulk;
  if (verb) carryOut(currentTarget, verb);
});

// --- edit and resubmit ----------------------------------------------------------------------------------------------

const SAME = ["target", "spec", "meta", "label", "priority", "maxAttempts", "timeoutSeconds", "requires", "concurrencyKey",
  "concurrencyLimit", "retry", "dedupeKey", "needsApproval", "needsReview", "notify", "delivery"];
const dialog = document.getElementById("resubmit");

function again(job) {
  const body = {};
  for (const name of SAME) {
    const value = job[name], empty = value === null || value === undefined || value === false || value === 0;
    if (!empty && !(typeof value === "object" && Object.keys(value).length === 0)) body[name] = value;
  }
  return { ...body, parentId: job.id };
}

if (dialog) {
  const form = dialog.querySelector("form"), fault = document.getElementById("resubmit-fault");
  let key = "";
  document.addEventListener("click", async ({ target }) => {
    const id = target.closest("button")?.dataset.resubmit;
    if (!id) return;
    try {
      form.elements.body.value = JSON.stringify(again(await call("GET", `/jobs/${id}`)), null, 2);
    } catch (e) {
      if (e instanceof Failed) { toast(e.message, true); return; }
      throw e;
    }
    key = freshKey();
    fault.hidden = true;
    dialog.showModal();
  });
  document.getElementById("resubmit-no").onclick = () => dialog.close();
  form.addEventListener("input", () => { key = freshKey(); }); // another body is another request
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let body;
    fault.hidden = true;
    try {
      body = JSON.parse(form.elements.body.value);
    } catch (e) {
      fault.textContent = `This is no JSON: ${e.message}`;
      fault.hidden = false;
      return;
    }
    try {
      const made = await call("POST", "/jobs", body, key);
      location.assign(`/ui/jobs/${made.id}`);
    } catch (e) {
      if (!(e instanceof Failed)) throw e;
      fault.textContent = e.message;
      fault.hidden = false;
    }
  });
}
