-- Jobs with priorities, input, progress and an end that is remembered; periodic jobs.
ALTER TABLE jobs ADD COLUMN priority smallint NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN payload jsonb NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN max_attempts integer NOT NULL DEFAULT 10 CHECK (max_attempts > 0);
ALTER TABLE jobs ADD COLUMN progress_done bigint CHECK (progress_done >= 0);
ALTER TABLE jobs ADD COLUMN progress_total bigint CHECK (progress_total >= 0);
ALTER TABLE jobs ADD COLUMN finished_at timestamptz;
ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check
    CHECK (state IN ('QUEUED', 'RUNNING', 'DONE', 'DEAD', 'CANCELLED'));
-- Until now nobody wrote down when a job ended; it was not before its time.
UPDATE jobs SET finished_at = run_at WHERE state IN ('DONE', 'DEAD');

-- What a worker looks through for the next job, and when one is due.
DROP INDEX jobs_due_idx;
CREATE INDEX jobs_claim_idx ON jobs (priority DESC, run_at, id) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX jobs_due_idx ON jobs (run_at) WHERE state = 'QUEUED';
CREATE INDEX jobs_created_idx ON jobs (created_at DESC, id DESC);

-- The last tick of each periodic job: whichever process writes it down asks for the job.
CREATE TABLE cron_runs (
    name text PRIMARY KEY,
    ticked_at timestamptz NOT NULL
);
