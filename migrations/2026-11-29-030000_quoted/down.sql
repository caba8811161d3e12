UPDATE messages SET finish = 'STOP' WHERE finish = 'QUOTED';
ALTER TABLE messages DROP CONSTRAINT messages_finish_check;
ALTER TABLE messages ADD CONSTRAINT messages_finish_check
    CHECK (finish IN ('STOP', 'LENGTH', 'NOT_COVERED', 'LEFT', 'FAILED'));
