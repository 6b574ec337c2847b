-- Times are microseconds since 1970 UTC. Texts default to '' and numbers to 0 for "none".

create table owner (
  key integer primary key,
  user_id text not null unique
);

create table conversation (
  key integer primary key autoincrement,
  owner integer not null references owner,
  id text not null,
  project text not null,
  session_id text not null,
  title text not null,
  tags text not null,       -- JSON array of texts
  metadata text not null,   -- JSON object
  created_us integer not null,
  updated_us integer not null,
  head integer not null default 0,  -- the message that ends the active path
  token_count integer not null default 0,
  unique (owner, id)
);
create index conversation_by_owner_recent on conversation (owner, updated_us, key);
create index conversation_recent on conversation (updated_us, key);
create index conversation_by_id on conversation (id, updated_us);

-- The latest leading system messages of a conversation; they are no nodes of its tree.
create table system_message (
  conversation integer not null references conversation on delete cascade,
  position integer not null,
  body blob not null,
  primary key (conversation, position)
) without rowid;

-- A node of a conversation's tree. `parent` has no foreign key: its cascade would
-- recurse once per message, and SQLite ends recursion at 1000.
-- Ids are never used again, so that no cache can take a new message for a deleted one.
create table message (
  id integer primary key autoincrement,
  conversation integer not null references conversation on delete cascade,
  parent integer not null,
  position integer not null,
  hash blob not null,
  role text not null,
  text text,                -- what it says in words; null if it says nothing
  body blob not null,       -- the rest of the message; a plain text stands in `text` alone
  created_us integer not null,
  request_id text not null,
  model text not null default '',
  backend text not null default '',
  usage blob,
  finish_reason text not null default '',
  generated integer not null default 0,  -- made by lair out of memory
  searchable integer not null
);
create unique index message_node on message (conversation, hash);
create index message_generated on message (length(text)) where generated = 1;

-- Requests that were stored. A row outlives its conversation, so that a late second
-- delivery cannot bring a deleted conversation back; it holds nothing that was said.
create table turn (
  owner integer not null references owner,
  request_id text not null,
  stored_us integer not null,
  primary key (owner, request_id)
) without rowid;

create view passage as
select
  m.id, m.conversation, m.role, m.text, m.body, m.created_us, c.owner,
  c.id as conversation_id, c.title, c.project, c.session_id, c.tags
from message as m join conversation as c on c.key = m.conversation
where m.searchable = 1;

-- What the full-text index holds. The owner is a word of its own, so that a search
-- walks one person's rows and not everyone's.
create view indexed_text as
select id, conversation, 'u' || owner as owner, text from passage;

create virtual table message_fts using fts5 (
  owner, text,
  content = 'indexed_text', content_rowid = 'id', tokenize = 'porter unicode61'
);

-- float32, normalised, little-endian.
create table vector (
  message integer primary key references message on delete cascade,
  model text not null,
  vector blob not null
);
create index vector_by_model on vector (model);

-- Messages that wait for a vector. After three failed attempts one stays here with its
-- error and is not tried again until another model is configured.
create table unembedded (
  message integer primary key references message on delete cascade,
  attempts integer not null default 0,
  model text not null default '',  -- the model that failed
  error text not null default ''
);
create index unembedded_order on unembedded (attempts, message);
