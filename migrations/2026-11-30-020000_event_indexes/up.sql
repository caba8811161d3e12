-- Each event is written into each index on the log. Its place in the log is its key, and as it lies there in
-- the order of time, its time needs no entry a row.
ALTER TABLE events DROP CONSTRAINT events_pkey;
DROP INDEX events_position_idx;
ALTER TABLE events ADD PRIMARY KEY (xid, id);
DROP INDEX events_at_idx;
CREATE INDEX events_at_idx ON events USING brin (at);
