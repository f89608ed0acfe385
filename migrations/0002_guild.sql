-- What a server has chosen, and what it has been told.

CREATE TABLE guild (
    id INTEGER PRIMARY KEY,
    settings BLOB,
    -- Whether the first reply there has said what happens to recordings.
    noticed INTEGER NOT NULL DEFAULT 0
) STRICT;
