-- ARGV: node id, instance, ms. Returns the token; or an empty one, whose lock it is, and for how many ms (-1: for ever).
local node, instance, ttl = ARGV[1], ARGV[2], ARGV[3]
local lock = redis.call('GET', LOCK)
if lock then
  local lease = redis.call('HMGET', LEASE, 'value', 'node', 'instance', 'token')
  if lock == lease[1] and node == lease[2] and instance == lease[3] then
    redis.call('PEXPIRE', LOCK, ttl)
    return {lease[4]}
  end
  return {'', lock, redis.call('PTTL', LOCK)}
end
-- A replica that took over may not know the last tokens: no token is below the clock, which has gone on meanwhile.
local token = whole(math.max(tonumber(redis.call('GET', TOKEN) or '0') + 1, now))
local value = node .. ':' .. whole(now)
redis.call('SET', TOKEN, token)
redis.call('SET', LOCK, value, 'PX', ttl)
redis.call('HSET', LEASE, 'value', value, 'node', node, 'instance', instance, 'token', token)
note_election(node, 'elected', true, token)
tell('cluster.leader_elected', '{"node_id": ' .. text(node) .. ', "token": ' .. token .. '}')
return {token}
