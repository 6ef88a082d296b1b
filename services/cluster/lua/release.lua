-- ARGV: node id, instance, token.
if holds(ARGV[2], ARGV[3]) then
  redis.call('DEL', LOCK, LEASE)
  note_election(ARGV[1], 'released', false, ARGV[3])
end
return 1
