-- ARGV: type, payload (JSON), a name for this call, the token ('' without a grant). Returns the cursor.
local done = redis.call('GET', DONE .. ARGV[3])
if done then return done end
if ARGV[4] ~= '' and not holds(ARGV[4]) then return stale() end
local id = tell(ARGV[1], ARGV[2])
redis.call('SET', DONE .. ARGV[3], id, 'PX', DONE_MS)
return id
