-- ARGV: node id, instance.
local node, record = ARGV[1], member(ARGV[1])
if not record or record.instance ~= ARGV[2] or record.state == 'left' then return 0 end
if record.state == 'online' then left(node, overdue(record) and 'missed_heartbeats' or 'left', record.seen) end
record.state = 'left'
keep(node, record)
redis.call('HDEL', NODES, node)
redis.call('DEL', HEARTBEAT .. node)
return 1
