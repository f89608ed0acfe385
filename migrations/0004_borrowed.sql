-- Whose words a job is about, where they stand in somebody's message: an answer to another one's
-- note is theirs as well as of who asked for it.
CREATE TABLE borrowed (
    job INTEGER PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
    message INTEGER NOT NULL,
    -- 0 where nobody can tell.
    author INTEGER NOT NULL
) STRICT;
CREATE INDEX borrowed_message ON borrowed (message);
CREATE INDEX borrowed_author ON borrowed (author);

-- The same of what is remembered: each of these people can have it forgotten, and whoever deletes
-- the message deletes it.
CREATE TABLE turn_borrowed (
    turn INTEGER NOT NULL REFERENCES turn (message) ON DELETE CASCADE,
    person INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (turn, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_borrowed_person ON turn_borrowed (person);
CREATE INDEX turn_borrowed_message ON turn_borrowed (message);

CREATE VIEW whole_job AS
    SELECT job.*, borrowed.message AS borrowed_message, borrowed.author AS borrowed_author
    FROM job LEFT JOIN borrowed ON borrowed.job = job.id;
