-- ARGV: node id, token.
if holds(ARGV[2]) then
  redis.call('DEL', LOCK, LEASE)
  note_election(ARGV[1], 'released', false, ARGV[2])
end
return 1
