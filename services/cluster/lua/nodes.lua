-- Returns the time in ms, then for each node: id, state, ms when it was seen, ms when it joined, JSON of itself.
local found = {now}
local entries = redis.call('HGETALL', NODES)
local old = {}
for i = 1, #entries, 2 do old[entries[i]] = entries[i + 1] end
local members = redis.call('HGETALL', MEMBERS)
for i = 1, #members, 2 do
  local node, record = members[i], cjson.decode(members[i + 1])
  local state, seen, about = record.state, record.seen, record.about
  if record.old then
    -- A node of clawster: it is there while its heartbeat is.
    local alive = old[node] and redis.call('EXISTS', HEARTBEAT .. node) == 1
    state, seen, about = alive and 'online' or (state == 'left' and state or 'offline'), alive and now or seen, old[node] or ''
  elseif state == 'online' and overdue(record) then
    state = 'offline'
  end
  if state ~= 'left' then found[#found + 1] = {node, state, whole(seen), whole(record.joined), about} end
  old[node] = nil
end
-- Nodes of clawster that no leader of ours has seen yet. Its registry is never cleared: only those with a heartbeat.
for node, about in pairs(old) do
  if redis.call('EXISTS', HEARTBEAT .. node) == 1 then
    found[#found + 1] = {node, 'online', whole(now), whole(now), about}
  end
end
return found
