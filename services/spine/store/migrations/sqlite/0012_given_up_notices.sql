-- Notices that were given up go with the jobs that ended as long ago.
CREATE INDEX notices_given_up ON notices (ended_at) WHERE status = 'given_up';
