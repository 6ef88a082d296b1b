-- What the scripts share; it stands before each of them. Every script is one step: all of it happens, or nothing.

-- A key that somebody else has as another type: say which, before anything is changed.
for i, kind in ipairs(KINDS) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGKEY ' .. KEYS[i] .. ' ' .. found .. ' ' .. kind)
  end
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Lua would write 1.76e+12.
local function whole(number)
  return string.format('%.0f', number)
end

local function seconds(ms)
  return string.format('%.3f', ms / 1000)
end

local text = cjson.encode

-- The lock may have been written over by an old node: it is ours only while it has the value that we wrote.
local function holds(token)
  local lock = redis.call('GET', LOCK)
  local lease = redis.call('HMGET', LEASE, 'value', 'token')
  return lock and lock == lease[1] and token == lease[2]
end

local function stale()
  return redis.error_reply('STALETOKEN')
end

local function note_election(node, event, is_leader, token)
  redis.call('LPUSH', ELECTIONS, '{"timestamp": ' .. seconds(now) .. ', "node_id": ' .. text(node)
    .. ', "event": "' .. event .. '", "is_leader": ' .. tostring(is_leader) .. ', "token": ' .. token .. '}')
  redis.call('LTRIM', ELECTIONS, 0, ELECTIONS_MOST - 1)
end

-- Streams. Each entry names the one before it, so that a reader sees when some are missing behind its cursor.
local function last(stream)
  local entry = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return entry and entry[1] or '0-0'
end

local function append(stream, ...)
  return redis.call('XADD', stream, 'MAXLEN', '~', STREAM_MOST, '*', 'p', last(stream), ...)
end

local function tell(kind, payload)
  return append(EVENTS, 't', kind, 'd', payload)
end

local function parsed(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function before(a, b)
  local a_ms, a_sequence = parsed(a)
  local b_ms, b_sequence = parsed(b)
  return a_ms < b_ms or (a_ms == b_ms and a_sequence < b_sequence)
end

-- The entries after a cursor, the cursor behind them, and whether some before them are gone (1 or 0).
local function after(stream, cursor, limit)
  local ms, sequence = parsed(cursor)
  local found = redis.call('XRANGE', stream, whole(ms) .. '-' .. whole(sequence + 1), '+', 'COUNT', limit)
  local gap = 0
  if #found > 0 then
    if found[1][2][2] ~= cursor then gap = 1 end
    cursor = found[#found][1]
  elseif before(last(stream), cursor) then
    -- The server knows less than the reader: it was emptied, or lost what a replica had not got.
    gap = 1
    cursor = last(stream)
  end
  return {cursor, gap, found}
end

-- Members.
local function member(node)
  local found = redis.call('HGET', MEMBERS, node)
  return found and cjson.decode(found)
end

-- Of a node of ours. Nobody need have written down yet that it is offline.
local function overdue(record)
  return now >= record.seen + record.ttl
end

local function keep(node, record)
  redis.call('HSET', MEMBERS, node, text(record))
end

local function left(node, reason, seen)
  tell('cluster.node_left', '{"node_id": ' .. text(node) .. ', "reason": "' .. reason .. '", "last_seen_ms": '
    .. whole(seen) .. '}')
end

-- `about` is a JSON object of what a node says of itself; Lua could not tell its empty list from an empty object.
local function joined(node, about, rejoined)
  tell('cluster.node_joined', '{"node_id": ' .. text(node) .. ', ' .. string.sub(about, 2, -2) .. ', "rejoined": '
    .. tostring(rejoined) .. '}')
end

-- What clawster's readers look for: the record of the node, in the fields of both of its writers, and the heartbeat.
local function show(node, record, state, is_leader, leader)
  local term = redis.call('GET', TOKEN) or '0'
  redis.call('HSET', NODES, node, '{"node_id": ' .. text(node) .. ', "is_leader": ' .. tostring(is_leader)
    .. ', "current_leader": ' .. (leader ~= '' and text(leader) or 'null') .. ', "state": "' .. state
    .. '", "term": ' .. term .. ', "registered_at": ' .. text(record.registered) .. ', "last_seen": '
    .. seconds(record.seen) .. ', ' .. string.gsub(string.sub(record.about, 2, -2), '^"name"', '"node_name"') .. '}')
  if state == 'failed' then
    redis.call('DEL', HEARTBEAT .. node)
  else
    redis.call('SET', HEARTBEAT .. node, '{"timestamp": ' .. seconds(now) .. ', "is_leader": ' .. tostring(is_leader)
      .. ', "leader_ttl": ' .. whole(math.floor(redis.call('PTTL', LOCK) / 1000)) .. ', "state": "' .. state
      .. '", "term": ' .. term .. ', "node": ' .. text(node) .. ', "status": "online", "role": "' .. state .. '"}',
      'PX', record.ttl)
  end
end
