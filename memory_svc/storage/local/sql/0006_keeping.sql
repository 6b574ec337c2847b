-- What users wrote down for lair to keep, and messages that they pinned.
create table note (
  message integer primary key references message on delete cascade,
  owner integer not null references owner,
  project text not null,    -- whose recalls it is in if it is pinned; '' for all
  pinned integer not null,
  written integer not null  -- its user wrote it as a note; else it was said in a chat
);
create index note_by_owner on note (owner, pinned);

-- What is right instead of what was said; what was said stays with its message.
create table correction (
  message integer primary key references message on delete cascade,
  text text not null
);

-- What of a text its user said, where an agent put more around it; else null. That is what
-- is searched and quoted.
alter table message add column spoken text;

-- A text may be corrected while its vector is being made: of what was queued before, the
-- version differs.
alter table unembedded add column version integer not null default 0;

-- Messages that were forgotten out of a conversation that goes on (forgotten.py).
create table forgotten (
  conversation integer not null references conversation on delete cascade,
  parent integer not null,  -- the message that it followed; 0 for none
  content blob not null,    -- two bytes of a hash
  at_us integer not null,
  primary key (conversation, parent, content)
) without rowid;

-- A recall goes with its project even where its conversation was never stored.
alter table recall add column project text not null default '';
alter table recall_candidate add column pinned integer not null default 0;

drop view indexed_text;
drop view passage;
create view passage as
select
  m.id, m.conversation, m.role, coalesce(k.text, plain(m.spoken), plain(m.text)) as text, m.body, m.created_us, c.owner,
  c.id as conversation_id, c.title, c.project, c.session_id, c.tags,
  k.text is not null as corrected,
  exists (select 1 from note as n where n.message = m.id and n.pinned) as pinned
from message as m join conversation as c on c.key = m.conversation
left join correction as k on k.message = m.id
where m.searchable = 1;
create view indexed_text as
select
  (owner << 40) | id as id, id as message, substr(text, 1, 900) as text,
  iif(length(text) > 900, substr(text, 871), '') as rest
from passage;

-- Long texts are compressed, and nothing is kept twice. A compressed text is a blob in its
-- column. The texts of a message with parts stand in `text` alone.
update message set
  text = iif(generated, text, packed(text)),
  body = body_without_text(body);
update turn set reply = packed_bytes(reply) where reply is not null;
update turn set record = packed_bytes(record) where record is not null;
update other_reply set body = packed_bytes(body);
update recall_candidate set quote = packed(quote);

-- What an owner's conversations have of the same instructions is kept once.
create table instruction_text (
  key integer primary key,
  owner integer not null references owner,
  digest blob not null,  -- of the body
  body blob not null,
  unique (owner, digest)
);
create table instruction_use (
  conversation integer not null references conversation on delete cascade,
  hash blob not null,    -- of all that a turn sent
  position integer not null,
  id integer not null,   -- a number of `message`'s, so that no two messages share one
  text integer not null references instruction_text,
  primary key (conversation, hash, position)
) without rowid;
create index instruction_use_by_text on instruction_use (text);
insert or ignore into instruction_text (owner, digest, body)
select c.owner, digest(i.body), packed_bytes(i.body)
from instruction as i join conversation as c on c.key = i.conversation;
insert into instruction_use
select i.conversation, i.hash, i.position, i.id, t.key
from instruction as i join conversation as c on c.key = i.conversation
join instruction_text as t on t.owner = c.owner and t.digest = digest(i.body);
drop table instruction;
create view instruction as
select u.conversation, u.hash, u.position, u.id, plain_bytes(t.body) as body
from instruction_use as u join instruction_text as t on t.key = u.text;
create trigger instruction_text_goes_with_its_last_use after delete on instruction_use begin
  delete from instruction_text where key = old.text
  and not exists (select 1 from instruction_use where text = old.text);
end;
