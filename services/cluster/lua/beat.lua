-- ARGV: node id, instance, whether it leads (1 or 0), whom it takes for the leader ('' nobody), a name for this beat.
local node, instance, is_leader, leader = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local record = member(node)
if not record or record.old or record.state ~= 'online' or overdue(record) then return redis.error_reply('NOTMEMBER') end
if record.instance ~= instance then return redis.error_reply('REPLACED') end
record.seen = now
keep(node, record)
show(node, record, is_leader and 'leader' or 'follower', is_leader, leader)
-- With its thousandths: the order within a millisecond, too, is that of arrival, and not that of the texts.
redis.call('ZADD', BEATS, string.format('%.3f', clock[1] * 1000 + clock[2] / 1000), text({node, is_leader, leader, ARGV[5]}))
redis.call('ZREMRANGEBYRANK', BEATS, 0, -BEATS_MOST - 1)
return 1
