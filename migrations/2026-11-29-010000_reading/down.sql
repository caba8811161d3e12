DROP INDEX comments_approved_idx;
DROP INDEX reactions_created_at_idx;
DROP TABLE post_days;
DROP TABLE reads;
DROP TABLE readers;
