// Plays a gateway for the hook: registers it, hands it each message as the gateway's two events, and prints what it did.
// Arguments: the folder of the hook, and the messages as JSON.
import { pathToFileURL } from "node:url";

const [folder, messages] = process.argv.slice(2);
const handlers = {};
const warned = [];
const api = {
  on: (name, handler) => (handlers[name] = handler),
  logger: { info() {}, warn: (text) => warned.push(text) },
};
const { default: plugin } = await import(pathToFileURL(`${folder}/index.js`));
plugin.register(api);

const did = [];
for (const { content, senderId, channel = "telegram", messageId = "7", isGroup = false } of JSON.parse(messages)) {
  // As openclaw 2026.9.6 tells of a message from Telegram.
  const timestamp = 1795908736000;
  const metadata = { originatingTo: `telegram:${senderId}`, senderName: "Ada" };
  const ctx = { channelId: channel, accountId: "default", messageId, senderId };
  await handlers.message_received({ content, messageId, senderId, timestamp, metadata }, ctx);
  const event = { messageId, content, body: content, channel, senderId, isGroup, timestamp };
  const began = Date.now();
  const answer = await handlers.before_dispatch(event, { ...ctx, conversationId: senderId });
  did.push({ answer: answer ?? null, seconds: (Date.now() - began) / 1000 });
}
process.stdout.write(JSON.stringify({ did, warned }));
