-- What every decision changes (windows, usage, accepted refreshes, new and finished renders) is written
-- here first: one row a commit, instead of pages of five tables and their indexes. The server applies
-- the rows to the tables below, and deletes them, in one transaction: when they have become many, when
-- it is idle, and when it starts or stops. So each change is in its table or here, and never in both.
--
--   SELECT seq, change.value FROM journal, json_each(journal.changes) AS change ORDER BY seq, change.id;
CREATE TABLE journal (
    seq     INTEGER PRIMARY KEY,              -- order of the commits since the table was last empty
    changes TEXT NOT NULL                     -- JSON list, in the order in which they were decided
) STRICT;

-- A lease ends with the process that holds it, and one process has the file: leases are kept in memory.
ALTER TABLE render_queue DROP COLUMN lease_until;
