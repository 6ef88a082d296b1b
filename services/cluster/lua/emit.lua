-- ARGV: type, payload (JSON), a name for this call, instance and token ('' without a grant). Returns the cursor.
local done = redis.call('GET', DONE .. ARGV[3])
if done then return done end
if ARGV[5] ~= '' and not holds(ARGV[4], ARGV[5]) then return stale() end
local id = tell(ARGV[1], ARGV[2])
redis.call('SET', DONE .. ARGV[3], id, 'PX', DONE_MS)
return id
