DROP INDEX events_at_idx;
CREATE INDEX events_at_idx ON events (at);
ALTER TABLE events DROP CONSTRAINT events_pkey;
CREATE INDEX events_position_idx ON events (xid, id);
ALTER TABLE events ADD PRIMARY KEY (id);
