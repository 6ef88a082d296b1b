-- ARGV: node id, cursor. Forward only.
local node, cursor = ARGV[1], ARGV[2]
local old = redis.call('HGET', CURSORS, node)
if not old then return redis.error_reply('NOTMEMBER') end
local newest = last(MESSAGES)
if before(newest, old) then
  old = '0-0' -- It is of messages that this server lost.
  if cursor == newest then redis.call('HSET', CURSORS, node, cursor) end
end
-- One that is not there was lost, or is gone at the old end: only then may it be passed over.
local oldest = redis.call('XRANGE', MESSAGES, '-', '+', 'COUNT', 1)[1]
local there = #redis.call('XRANGE', MESSAGES, cursor, cursor) == 1
if before(old, cursor) and oldest and (there or before(cursor, oldest[1])) then
  redis.call('HSET', CURSORS, node, cursor)
end
return 1
