-- ARGV: node id, token, ms. Returns 1, or 0 when the lease is over.
local node, token, ttl = ARGV[1], ARGV[2], ARGV[3]
if holds(token) then
  redis.call('PEXPIRE', LOCK, ttl)
  return 1
end
if token == redis.call('HGET', LEASE, 'token') then
  -- No newer grant of ours: the lock ran out, or an old node wrote over it. Told once.
  note_election(node, redis.call('EXISTS', LOCK) == 1 and 'stolen' or 'renew_failed', false, token)
  redis.call('DEL', LEASE)
end
return 0
