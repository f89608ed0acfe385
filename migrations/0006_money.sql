-- A paid call is booked for the day on which it was judged, and a job may go on over midnight.
DROP VIEW used;
CREATE TABLE usage_by_day (
    job INTEGER NOT NULL,
    -- Counts how often somebody pressed "try again".
    generation INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('speech', 'chat')),
    day INTEGER NOT NULL,
    guild INTEGER,
    -- 0 once the author asked to be forgotten.
    author INTEGER NOT NULL,
    audio_ms INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    PRIMARY KEY (job, generation, stage, day)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_by_day
    SELECT job, generation, stage, day, guild, author, audio_ms, tokens_in, tokens_out, micros
    FROM usage;
DROP TABLE usage;
ALTER TABLE usage_by_day RENAME TO usage;
CREATE INDEX usage_day ON usage (day, guild, author);

-- All that budgets count.
CREATE VIEW used AS
    SELECT day, guild, author, audio_ms, tokens_in, tokens_out, micros FROM usage
    UNION ALL
    SELECT day, guild, author, audio_ms, tokens_in, tokens_out, micros FROM session_usage;

-- Paid calls that have begun and are not booked, with what they may use at most. Numbers are never
-- given twice: a call whose row is gone is booked. What a killed process leaves here is booked as
-- it stands, since nobody knows how much of it was used.
CREATE TABLE paid_call (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- One of the two.
    job INTEGER,
    session INTEGER,
    generation INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('speech', 'chat')),
    day INTEGER NOT NULL,
    guild INTEGER,
    -- 0 once the author asked to be forgotten.
    author INTEGER NOT NULL,
    audio_ms INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    micros INTEGER NOT NULL
) STRICT;
