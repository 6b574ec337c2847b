-- Conversations that were deleted of late, so that what was begun before stays away.
-- `conversation` is a hash of the user and the id: nothing that was said or named is
-- kept. Rows stay at least seven days (storage/local/tombstones.py).
create table tombstone (
  conversation blob primary key,
  deleted_us integer not null
) without rowid;
