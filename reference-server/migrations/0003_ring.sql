-- The journal's rows are pages that are written over again and again, each as long as what fits a page of
-- the file: so a commit changes as many pages of the file as its changes fill, and nothing else, neither
-- pages of an index nor the list of free pages.
--
-- A commit begins with a page of its own, at the first one after a fold. Its changes are postcard (the wire
-- format of that name, version 1), one after the other, in the order in which they were decided; they may go
-- on in the pages after it. Pages whose number is at most that of the setting `journal` were folded and are
-- what was there before.
DROP TABLE journal;
CREATE TABLE journal (
    page    INTEGER PRIMARY KEY,              -- place, from 1
    content BLOB NOT NULL                     -- number (8 bytes), length (2 bytes, both little-endian), changes, zeros
) STRICT;

-- A render that was finished before it got out of the journal needs no row in render_outcome.
ALTER TABLE render ADD COLUMN status TEXT;             -- succeeded or failed; null: see render_outcome
ALTER TABLE render ADD COLUMN completed_at INTEGER;
