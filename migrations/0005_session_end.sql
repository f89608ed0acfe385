-- How sessions end: the reason is written down before anything else happens, and what is told of
-- the end is noted like the answers of jobs.

-- Why it ended, in the caller's own form; none while it goes on, also if its process was killed.
-- From then on nobody joins its call any more. `ended` is set once all of the end is told.
ALTER TABLE session ADD COLUMN ending TEXT;
ALTER TABLE session ADD COLUMN ending_at INTEGER;
-- What the end tells, so that another process tells the same and pays for nothing twice.
ALTER TABLE session ADD COLUMN report BLOB;
ALTER TABLE session ADD COLUMN summary BLOB;
-- The message that tells the people in the call that they are listened to.
ALTER TABLE session ADD COLUMN notice INTEGER;
-- Since when nobody can be heard, in milliseconds of the session.
ALTER TABLE session ADD COLUMN deaf_ms INTEGER;

-- A server can have another session while the end of the last one is still being told.
DROP INDEX session_open;
CREATE UNIQUE INDEX session_open ON session (guild) WHERE ended IS NULL AND ending IS NULL;

-- The messages of an end. A part without a message was about to be sent.
CREATE TABLE session_post (
    session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    message INTEGER,
    -- When it was about to be sent.
    at INTEGER NOT NULL,
    PRIMARY KEY (session, part)
) STRICT, WITHOUT ROWID;
