-- Conversations in voice channels.

CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    guild INTEGER NOT NULL,
    voice INTEGER NOT NULL,
    text INTEGER NOT NULL,
    -- 0 once that person asked to be forgotten.
    asked_by INTEGER NOT NULL,
    payload BLOB NOT NULL,
    started INTEGER NOT NULL,
    -- The last sign of life: a killed process leaves no end.
    seen INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE UNIQUE INDEX session_open ON session (guild) WHERE ended IS NULL;
CREATE INDEX session_guild ON session (guild, id);

-- What was said there, and what was not heard.
CREATE TABLE line (
    session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    -- Whose words these are, or whom they answer; 0 for nobody.
    author INTEGER NOT NULL,
    name BLOB NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('speech', 'lost', 'deaf', 'answer')),
    text BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX line_author ON line (author);
CREATE INDEX line_at ON line (at);

-- Whether a person may be heard in the voice channels of a server.
CREATE TABLE consent (
    guild INTEGER NOT NULL,
    author INTEGER NOT NULL,
    consent TEXT NOT NULL CHECK (consent IN ('yes', 'no')),
    at INTEGER NOT NULL,
    PRIMARY KEY (guild, author)
) STRICT, WITHOUT ROWID;
CREATE INDEX consent_author ON consent (author);

-- What sessions used. A row grows all day. It outlives its session, as usage outlives its job.
CREATE TABLE session_usage (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('speech', 'chat')),
    day INTEGER NOT NULL,
    guild INTEGER NOT NULL,
    -- 0 once the author asked to be forgotten: several rows may then look the same.
    author INTEGER NOT NULL,
    audio_ms INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    micros INTEGER NOT NULL
) STRICT;
CREATE INDEX session_usage_row ON session_usage (session, author, stage, day);
CREATE INDEX session_usage_day ON session_usage (day, guild, author);

-- All that budgets count.
CREATE VIEW used AS
    SELECT day, guild, author, audio_ms, tokens_in, tokens_out, micros FROM usage
    UNION ALL
    SELECT day, guild, author, audio_ms, tokens_in, tokens_out, micros FROM session_usage;
