-- Returns nothing, or: node id, token and ms of a leader of ours; the lock's value, '' and ms of an old node's.
local lock = redis.call('GET', LOCK)
if not lock then return {} end
local lease = redis.call('HMGET', LEASE, 'value', 'node', 'token')
local ms = redis.call('PTTL', LOCK)
if lock == lease[1] then return {lease[2], lease[3], ms} end
return {lock, '', ms}
