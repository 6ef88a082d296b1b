-- ARGV: a name for this call, the sender, the messages. Returns their cursors.
local done = redis.call('GET', DONE .. ARGV[1])
if done then return cjson.decode(done) end
local ids = {}
for i = 3, #ARGV do ids[#ids + 1] = append(MESSAGES, 's', ARGV[2], 'b', ARGV[i]) end
if #ids > 0 then redis.call('SET', DONE .. ARGV[1], text(ids), 'PX', DONE_MS) end
return ids
