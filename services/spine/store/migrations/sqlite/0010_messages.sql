-- Why an attempt failed, as its holder said it. Those that ended by overload are counted from here.
ALTER TABLE attempts ADD COLUMN cause TEXT
    CHECK (cause = 'transient' OR cause = 'overload' OR cause = 'permanent');
