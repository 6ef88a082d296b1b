-- ARGV: token, a name for this call. Returns the ids of the nodes that went offline.
local done = redis.call('GET', DONE .. ARGV[2])
if done then return cjson.decode(done) end
if not holds(ARGV[1]) then return stale() end
local gone = {}
local members = redis.call('HGETALL', MEMBERS)
local known = {}
for i = 1, #members, 2 do
  local node, record = members[i], cjson.decode(members[i + 1])
  known[node] = true
  if record.old then
    local alive = redis.call('EXISTS', HEARTBEAT .. node) == 1
    local registered = redis.call('HEXISTS', NODES, node) == 1
    if alive and registered then
      if record.state ~= 'online' then joined(node, record.about, record.state == 'offline') end
      record.state, record.seen = 'online', now
    elseif record.state == 'online' then
      -- A node that is ended by hand takes its entry away; one that dies leaves it.
      record.state = registered and 'offline' or 'left'
      left(node, registered and 'missed_heartbeats' or 'left', record.seen)
      if registered then gone[#gone + 1] = node end
    end
    keep(node, record)
  elseif record.state == 'online' and overdue(record) then
    record.state = 'offline'
    left(node, 'missed_heartbeats', record.seen)
    keep(node, record)
    show(node, record, 'failed', false, '')
    gone[#gone + 1] = node
  end
end
-- Nodes of clawster are members from when they are first seen alive.
for _, node in ipairs(redis.call('HKEYS', NODES)) do
  if not known[node] and redis.call('EXISTS', HEARTBEAT .. node) == 1 then
    local about = '{"name": "", "capabilities": [], "endpoint": ""}'
    keep(node, {old = true, about = about, seen = now, joined = now, state = 'online'})
    joined(node, about, false)
  end
end
redis.call('SET', DONE .. ARGV[2], #gone > 0 and text(gone) or '[]', 'PX', DONE_MS)
return gone
