-- What was recalled for requests, and out of what. What was found stands here by number
-- alone, so that a message takes its quotes with it when it goes.
create table recall (
  key integer primary key autoincrement,
  owner integer not null references owner,
  request_id text not null,
  conversation_id text not null,  -- the request's own; it need not be stored
  at_us integer not null,
  query text not null,
  degraded text not null,
  unique (owner, request_id)
);
create index recall_by_age on recall (at_us);
create index recall_by_owner on recall (owner, key);
create index recall_by_conversation on recall (owner, conversation_id);

create table recall_candidate (
  recall integer not null references recall on delete cascade,
  position integer not null,
  message integer not null references message on delete cascade,
  score real not null,
  lexical_score real,
  dense_score real,
  quote text not null,  -- as the prompt had it; '' if it did not
  primary key (recall, position)
) without rowid;
create index recall_candidate_by_message on recall_candidate (message);

-- A query is made of what its conversation says, and goes with any of it.
create trigger recall_goes_with_conversation after delete on conversation begin
  delete from recall where owner = old.owner and conversation_id = old.id;
end;
create trigger recall_goes_with_message after delete on message begin
  delete from recall where (owner, conversation_id) =
    (select owner, id from conversation where key = old.conversation);
end;
create trigger recall_goes_with_turn after delete on turn begin
  delete from recall where owner = old.owner and request_id = old.request_id;
end;
