// A message that begins with the word of the fleet (`!spine ping hello`) goes to the fleet's chat service, and not to the
// agent: both would answer it, and the agent might act on it. Every other message goes its way untouched.
//
// `spine-chat hook install` lays this file with settings.json beside it, which is read at the start. The token is read at
// each message, so that a new one needs no restart; it stands elsewhere, since a gateway runs a copy of this folder.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const TRIES = 3;
const TRY_MS = 2500; // three tries and the waits between them end within 10 s: so long the person's next message waits at most
const ROUTES_MOST = 200;
const LISTENED = 202; // of a stranger it is 204
const PAGE = "webchat"; // the gateway's own page: its message tool says nothing there, so the agent may answer
const CANNOT = "The fleet's chat service cannot be reached. Try again in a minute.";

export default {
  id: "spinal-cord-chat",
  name: "Spinal Cord chat",
  description: "Hands messages that begin with a word of the fleet to its chat service.",
  register(api) {
    const { url, prefix, token } = JSON.parse(readFileSync(new URL("./settings.json", import.meta.url), "utf8"));
    const routes = new Map(); // where an answer goes, by message: only the first of the two events tells it
    const known = new Set(); // whom the service has listened to: a stranger is told nothing, not even of an outage

    api.on("message_received", (event, ctx) => {
      if (ours(event.content, prefix) === null) return;
      routes.set(nameOf(event, ctx), {
        to: event.metadata?.originatingTo,
        thread: event.threadId,
        name: event.metadata?.senderName,
      });
      if (routes.size > ROUTES_MOST) routes.delete(routes.keys().next().value);
    });

    api.on("before_dispatch", async (event, ctx) => {
      const text = ours(event.content, prefix);
      if (text === null || !event.senderId || !event.messageId || ctx.channelId === PAGE) return;
      const route = routes.get(nameOf(event, ctx)) ?? {};
      routes.delete(nameOf(event, ctx));
      const sender = `${ctx.channelId}:${event.senderId}`;
      const message = {
        id: event.messageId,
        channel: ctx.channelId,
        account: ctx.accountId,
        to: route.to ?? ctx.conversationId,
        thread: route.thread === undefined ? undefined : String(route.thread),
        sender: event.senderId,
        name: route.name,
        direct: event.isGroup !== true,
        text,
      };
      const { status, fault } = await hand(url, token, message);
      if (status === LISTENED) known.add(sender);
      if (fault === undefined) return { handled: true };
      api.logger.warn(`a message for the fleet was not handed over: ${fault}`);
      return known.has(sender) ? { handled: true, text: CANNOT } : { handled: true };
    });
  },
};

// What both events know of a message. Its id alone is not enough: a chat service may count anew in each chat.
function nameOf(event, ctx) {
  return JSON.stringify([ctx.channelId, ctx.accountId, event.senderId, event.messageId, event.timestamp]);
}

// The text behind the prefix; null when the message is not for the fleet.
function ours(content, prefix) {
  const text = String(content ?? "").trim();
  if (text.slice(0, prefix.length).toLowerCase() !== prefix.toLowerCase()) return null;
  const rest = text.slice(prefix.length);
  return rest === "" || /^\s/.test(rest) ? rest.trim() : null;
}

// Returns the status of an answer that settles it, or the fault. A repeat is safe: the service takes each id once.
async function hand(url, token, message) {
  let fault;
  for (let n = 1; n <= TRIES; n += 1) {
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${(await readFile(token, "utf8")).trim()}`, "content-type": "application/json" },
        body: JSON.stringify(message),
        redirect: "error",
        signal: AbortSignal.timeout(TRY_MS),
      });
      await answer.body?.cancel();
      if (answer.ok) return { status: answer.status };
      fault = `the service answered ${answer.status}`;
      if (answer.status < 500 && answer.status !== 429) return { fault };
    } catch (e) {
      fault = e?.cause?.code ?? e?.code ?? e?.name ?? "unknown fault";
    }
    if (n < TRIES) await sleep(300 * n * (0.5 + Math.random()));
  }
  return { fault };
}
