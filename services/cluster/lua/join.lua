-- ARGV: node id, instance, what it says of itself (JSON object), ms until it counts as offline, its time as ISO 8601.
local node, instance, about, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local was = member(node)
local online = was and was.state == 'online'
if online and not was.old and overdue(was) then
  left(node, 'missed_heartbeats', was.seen)
  was.state, online = 'offline', false
end
local same = online and was.instance == instance
local record = {
  instance = instance, about = about, ttl = ttl, seen = now, state = 'online',
  joined = same and was.joined or now, registered = same and was.registered or ARGV[5],
}
keep(node, record)
if not online then joined(node, about, was and was.state == 'offline' or false) end
redis.call('HSETNX', CURSORS, node, last(MESSAGES))
show(node, record, 'follower', false, '')
return 1
