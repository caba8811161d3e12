-- What each API key, or the user behind a session, had models read and write on a day (UTC).
CREATE TABLE token_usage (
    day date NOT NULL,
    subject text NOT NULL,
    prompt_tokens bigint NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
    PRIMARY KEY (day, subject)
);
