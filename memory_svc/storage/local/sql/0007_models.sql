-- Vectors name their model by number, which spares a million of them a tenth of their size.
create table embedding_model (
  key integer primary key,
  name text not null unique
);
insert into embedding_model (name) select distinct model from vector;

create table numbered_vector (
  message integer not null references message on delete cascade,
  kind integer not null,  -- 0 alone, 1 with its neighbours
  model integer not null references embedding_model,
  vector blob not null,   -- its direction, a signed byte for each dimension
  primary key (message, kind)
) without rowid;
insert into numbered_vector
select v.message, v.kind, m.key, v.vector
from vector as v join embedding_model as m on m.name = v.model order by v.message, v.kind;
drop table vector;
alter table numbered_vector rename to vector;
create index message_by_model on vector (model) where kind = 0;

-- Nobody asks the full-text index how long messages are; it need not keep that.
drop table message_fts;
create virtual table message_fts using fts5 (
  text, rest,
  content = 'indexed_text', content_rowid = 'id', tokenize = 'porter unicode61', columnsize = 0
);
insert into message_fts (message_fts) values ('rebuild');
