-- What a search needs to know of each searchable message besides its words and vectors,
-- so that it need not read any text.
create table passage_trait (
  message integer primary key references message on delete cascade,
  owner integer not null,
  before integer not null,  -- the searchable message that it follows; 0 for none
  conversation integer not null,
  by_user integer not null,
  created_us integer not null,
  speaker text not null,    -- the name that its client gave; '' for none
  length integer not null,  -- words of its head
  marks integer not null    -- memory_svc/retrieval/traits.py
);
create index passage_trait_by_owner on passage_trait (owner);
create index passage_trait_by_before on passage_trait (before);

-- The full-text index holds a message in two parts: a head, which tells what a long one
-- is about, and the rest. They overlap by some letters, so that no word is lost between
-- them. Its rows are numbered by owner, so that a search walks one person's rows alone.
drop table message_fts;
drop view indexed_text;
create view indexed_text as
select
  (owner << 40) | id as id, id as message, substr(text, 1, 900) as text,
  iif(length(text) > 900, substr(text, 871), '') as rest
from passage;
create virtual table message_fts using fts5 (
  text, rest,
  content = 'indexed_text', content_rowid = 'id', tokenize = 'porter unicode61'
);
insert into message_fts (message_fts) values ('rebuild');

-- A message has two vectors: of itself, and of itself with its neighbours. What is kept is
-- their direction, a signed byte for each dimension.
drop table vector;
create table vector (
  message integer not null references message on delete cascade,
  kind integer not null,  -- 0 alone, 1 with its neighbours
  model text not null,
  vector blob not null,
  primary key (message, kind)
) without rowid;
create index vector_by_model on vector (model, kind);

-- Vectors that are still to be made. After three failed attempts one stays here with its
-- error and is not tried again until another model is configured.
drop table unembedded;
create table unembedded (
  message integer not null references message on delete cascade,
  kind integer not null,
  attempts integer not null default 0,
  model text not null default '',  -- the model that failed
  error text not null default '',
  primary key (message, kind)
) without rowid;
create index unembedded_order on unembedded (attempts, message, kind);
insert into unembedded (message, kind)
select id, kind.column1 from passage cross join (values (0), (1)) as kind;
