-- Words that stand in a text without spaces between them are found one by one: the
-- full-text index has pairs of Chinese signs, and the parts of camelCase (words.py).
drop table message_fts;
drop view indexed_text;
create view indexed_text as
select
  (owner << 40) | id as id, id as message, findable(substr(text, 1, 900)) as text,
  iif(length(text) > 900, findable(substr(text, 871)), '') as rest
from passage;
create virtual table message_fts using fts5 (
  text, rest,
  content = 'indexed_text', content_rowid = 'id', tokenize = 'porter unicode61', columnsize = 0
);
insert into message_fts (message_fts) values ('rebuild');

-- From kind 2 on vectors are of parts of a long message, which are embedded from now on.
insert into unembedded (message, kind)
select p.id, 2 + part.value from passage as p join json_each(spoken_parts(p.text)) as part
where length(p.text) > 900;
