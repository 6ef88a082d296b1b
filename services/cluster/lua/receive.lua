-- ARGV: node id, how many. Returns what to acknowledge, whether there is a gap, and the entries.
local cursor = redis.call('HGET', CURSORS, ARGV[1])
if not cursor then return redis.error_reply('NOTMEMBER') end
return after(MESSAGES, cursor, ARGV[2])
