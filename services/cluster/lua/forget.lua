-- ARGV: token, ms. Returns how many heartbeats went.
if not holds(ARGV[1]) then return stale() end
local until_ms = now - tonumber(ARGV[2])
local members = redis.call('HGETALL', MEMBERS)
for i = 1, #members, 2 do
  local node, record = members[i], cjson.decode(members[i + 1])
  if record.state ~= 'online' and record.seen < until_ms then
    redis.call('HDEL', MEMBERS, node)
    redis.call('HDEL', CURSORS, node)
    if not record.old then redis.call('HDEL', NODES, node) end
  end
end
return redis.call('ZREMRANGEBYSCORE', BEATS, '-inf', '(' .. whole(until_ms))
