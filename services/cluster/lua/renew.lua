-- ARGV: node id, instance, token, ms. Returns 1, or 0 when the lease is over.
local node, instance, token, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if holds(instance, token) then
  redis.call('PEXPIRE', LOCK, ttl)
  return 1
end
local lease = redis.call('HMGET', LEASE, 'instance', 'token')
if instance == lease[1] and token == lease[2] then
  -- No newer grant of ours: the lock ran out, or an old node wrote over it. Told once.
  note_election(node, redis.call('EXISTS', LOCK) == 1 and 'stolen' or 'renew_failed', false, token)
  redis.call('DEL', LEASE)
end
return 0
