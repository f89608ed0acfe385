-- Discord ids are 64-bit and unsigned; they are kept bit for bit in signed columns.
-- Times are milliseconds since 1970, UTC. Columns of type BLOB hold encrypted text.

CREATE TABLE seal (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    proof BLOB NOT NULL
) STRICT;

CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The message or interaction that asked for it. What came twice is done once.
    source INTEGER NOT NULL UNIQUE,
    guild INTEGER,
    channel INTEGER NOT NULL,
    author INTEGER NOT NULL,
    payload BLOB NOT NULL,
    transcript BLOB,
    answer BLOB,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'failed', 'cancelled')),
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Counts how often somebody pressed "try again".
    generation INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    finished INTEGER
) STRICT;
CREATE INDEX job_waiting ON job (id) WHERE state = 'waiting';
CREATE INDEX job_author ON job (author);

-- The messages that show a job's result. A part without a message was about to be sent.
CREATE TABLE post (
    job INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    message INTEGER UNIQUE,
    PRIMARY KEY (job, part)
) STRICT, WITHOUT ROWID;

-- What was said, so that a reply to it goes on with the conversation.
CREATE TABLE turn (
    message INTEGER PRIMARY KEY,
    parent INTEGER,
    guild INTEGER,
    channel INTEGER NOT NULL,
    -- Whose words these are, or whom they answer.
    author INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    speaker BLOB NOT NULL,
    text BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX turn_channel ON turn (channel, at);
CREATE INDEX turn_author ON turn (author);

-- What was used. An entry stands for one stage of one job and is booked once.
CREATE TABLE usage (
    job INTEGER NOT NULL,
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
    PRIMARY KEY (job, generation, stage)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_day ON usage (day, guild, author);

-- People who asked to be forgotten while usage of that day still has to count against a budget.
CREATE TABLE forgotten (
    author INTEGER PRIMARY KEY,
    day INTEGER NOT NULL
) STRICT;
