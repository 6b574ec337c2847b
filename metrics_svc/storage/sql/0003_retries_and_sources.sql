-- The request that this one repeats, by its id: a client library sent again what had failed.
alter table request add column retry_of blob check (length(retry_of) = 16);

-- Whether another one repeats this: then it is a try of that one, and no longer counts as a
-- request. Its tokens were used all the same.
alter table request add column superseded integer not null default 0;

-- As before, and not repeated.
alter table request drop column active;
alter table request add column active integer not null
  as (origin = 1 and status not in (7, 8) and not superseded);

-- What a part of the caller was read from; numbers of IdentitySource, 0 is unknown.
alter table request add column user_source integer not null default 0;
alter table request add column project_source integer not null default 0;
alter table request add column session_source integer not null default 0;

create index request_by_retry on request (retry_of) where retry_of is not null;
