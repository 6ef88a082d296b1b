-- A machine that is revoked reads nothing more: what it had not read would be kept for ever.
UPDATE receipts
    SET expires_at = (SELECT revoked_at FROM machines WHERE name = reader),
        expired_at = (SELECT revoked_at FROM machines WHERE name = reader)
    WHERE read_at IS NULL AND expired_at IS NULL
      AND reader IN (SELECT name FROM machines WHERE revoked_at IS NOT NULL);
