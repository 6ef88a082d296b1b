-- Who has how many jobs in progress, whatever he has had done before: a chat front asks it of a person's label before each job.
CREATE INDEX jobs_label_open ON jobs (label, seq) WHERE label IS NOT NULL AND status IN ('queued', 'running');
