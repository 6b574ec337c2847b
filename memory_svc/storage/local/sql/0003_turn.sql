-- What was `turn` remembers requests; `turn` now holds what can be found again of them.
-- Nothing of this is known of the requests that were stored before.
alter table turn rename to request;

-- The leading system messages of turns; they are no nodes of the tree. Turns that sent
-- the same share them: `hash` covers every byte of all of them.
create table instruction (
  conversation integer not null references conversation on delete cascade,
  hash blob not null,
  position integer not null,
  id integer not null,      -- a number of `message`'s, so that no two messages share one
  body blob not null,
  primary key (conversation, hash, position)
) without rowid;

-- The latest ones that were sent; null for none.
alter table conversation add column instructions blob;
insert into instruction select conversation, x'00', position, 0, body from system_message;
update conversation set instructions = x'00'
where key in (select conversation from system_message);
drop table system_message;

-- Whether nobody wants the conversation but the turns in it: it goes with the last one.
alter table conversation add column begun_by_turn integer not null default 0;

-- A request that can be found again: where its messages are in the tree.
create table turn (
  key integer primary key autoincrement,
  owner integer not null references owner,
  request_id text not null,
  conversation integer not null references conversation on delete cascade,
  created_us integer not null,
  endpoint text not null,
  instructions blob,            -- the leading system messages it sent; null for none
  input_end integer not null,   -- the last other message it sent, or else the one it continued
  input_count integer not null, -- how many it sent, counted back from there
  answer integer not null,      -- the message that answers it
  reply blob,                   -- the answer, where the tree has another wording of it
  model text not null,
  backend text not null,
  usage blob,
  token_count integer not null,
  finish_reason text not null,
  record blob,                  -- a JSON object; null for none
  metadata text not null,       -- the texts of the record's `metadata`, a JSON object
  unique (owner, request_id)
);
create index turn_by_owner on turn (owner, created_us, key);
create index turn_by_conversation on turn (conversation);

-- Further answers to the same request.
create table other_reply (
  turn integer not null references turn on delete cascade,
  position integer not null,
  body blob not null,
  primary key (turn, position)
) without rowid;

create index message_children on message (conversation, parent);

-- Deleted turns have rows there too now.
alter table tombstone rename column conversation to digest;
