-- An answer may be in the site's own words.
ALTER TABLE messages DROP CONSTRAINT messages_finish_check;
ALTER TABLE messages ADD CONSTRAINT messages_finish_check
    CHECK (finish IN ('STOP', 'LENGTH', 'QUOTED', 'NOT_COVERED', 'LEFT', 'FAILED'));
