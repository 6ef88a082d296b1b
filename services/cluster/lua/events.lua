-- ARGV: cursor ('' is the end), how many. Returns the next cursor, whether there is a gap, and the entries.
return after(EVENTS, ARGV[1] ~= '' and ARGV[1] or last(EVENTS), ARGV[2])
