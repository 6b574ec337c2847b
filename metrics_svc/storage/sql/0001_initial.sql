-- Texts that clients choose, each stored once. The kinds are in storage/sqlite.py.
create table dim (
  id integer primary key,
  kind integer not null,
  value text not null,
  unique (kind, value)
) strict;

-- One row for each request. Times are UTC microseconds since 1970; null is
-- unknown. Ids of texts are of `dim`, numbers of enums of metrics_svc/model.py.
--
-- An integer key beside the 16-byte id is smaller than the id as the key without
-- rowid (165 against 173 bytes a request with one attempt and both indexes, 300,000
-- requests), because attempts and the index by time repeat the key; ids are ordered
-- by time, so both append at the right end and load equally fast.
--
-- Ids of texts are no foreign keys: to remove one text would scan all requests.
-- Nothing refers to conversations: deleting one neither blocks on this nor shrinks it.
create table request (
  id integer primary key,
  request_id blob not null unique check (length(request_id) = 16),
  ts_us integer not null,
  user integer,
  project integer,
  session integer,
  conversation integer,
  key integer,
  client integer,
  endpoint integer,
  model_requested integer,
  model_used integer,
  backend integer,
  error_reason integer,
  finish_reason integer,
  origin integer not null,
  status integer not null,
  http_code integer,
  streamed integer not null,
  local integer not null,
  tool_calls integer not null,
  new_messages integer not null,
  tok_in integer,
  tok_out integer,
  tok_total integer,
  tok_cached integer,
  tok_cache_write integer,
  tok_reasoning integer,
  usage_source integer not null,
  duration_us integer,
  first_token_us integer,
  upstream_us integer,
  queue_us integer,
  billed_nano integer,
  -- Days, streaks, sessions, messages count these: a client's requests that were
  -- neither malformed (7) nor refused for their key (8).
  active integer not null as (origin = 1 and status not in (7, 8)),
  -- The backend's total counts only where it did not tell both parts.
  tokens integer not null as (coalesce(tok_in + tok_out, tok_total, tok_in, tok_out, 0)),
  -- 15-minute buckets, each of which lies within one local day of any zone.
  bucket integer not null as (ts_us / 900000000)
) strict;

create index request_by_time on request (ts_us);

create table attempt (
  request integer not null references request (id) on delete cascade,
  n integer not null,
  backend integer,
  model integer,
  status integer not null,
  http_code integer,
  duration_us integer not null,
  error text,
  primary key (request, n)
) strict, without rowid;

-- Single numbers that must outlive requests.
create table meta (
  name text primary key,
  value integer not null
) strict, without rowid;
