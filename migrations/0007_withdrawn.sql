-- Messages whose answers were deleted, or whose author asked to be forgotten: notes that are read
-- back are not answered once more. The id and nothing else. It tells its own time, and goes once
-- nothing that old is read back.

CREATE TABLE withdrawn (
    source INTEGER PRIMARY KEY
) STRICT;
