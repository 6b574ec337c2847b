-- The ledger: each request a short row, and sums that are never behind it.
--
-- What requests have in common is written once, as a `combo`; a request names it by number.
-- Sums are kept for each 15 minutes and for each local day, in the transaction that keeps
-- the request, so they are right at every commit. Sums add up: what is taken back (a request
-- that turns out to be repeated) is subtracted. Number 0 of a text is none.
--
-- How long rows stay is said at each table: `keeps:`.

-- Who asked. Sessions are counted within it. keeps: for ever, bounded by `dim`.
create table who (
  id integer primary key,
  user integer not null,
  project integer not null,
  key integer not null,
  client integer not null,
  unique (user, project, key, client)
) strict;

-- What distributions are told apart by. keeps: for ever, bounded by `dim`.
create table lane (
  id integer primary key,
  user integer not null,
  project integer not null,
  key integer not null,
  model_used integer not null,
  backend integer not null,
  local integer not null,
  streamed integer not null,
  unique (user, project, key, model_used, backend, local, streamed)
) strict;

-- All that sums are told apart by. keeps: for ever, bounded by `dim`.
create table combo (
  id integer primary key,
  who integer not null,
  lane integer not null,
  user integer not null,
  project integer not null,
  key integer not null,
  client integer not null,
  endpoint integer not null,
  model_requested integer not null,
  model_used integer not null,
  backend integer not null,
  error_reason integer not null,
  price_version integer not null,
  cost_source integer not null,
  user_source integer not null,
  project_source integer not null,
  session_source integer not null,
  local integer not null,
  origin integer not null,
  status integer not null,
  http_code integer not null,
  streamed integer not null,
  usage_source integer not null,
  -- Days, streaks, sessions, messages count these: requests of clients, now or in an
  -- imported history, that were neither malformed (7) nor refused for their key (8).
  active integer not null as (origin in (1, 3) and status not in (7, 8)),
  unique (
    user, project, key, client, endpoint, model_requested, model_used, backend, error_reason,
    price_version, cost_source, user_source, project_source, session_source, local, origin,
    status, http_code, streamed, usage_source
  )
) strict;

create index combo_by_user on combo (user, project);
create index combo_by_key on combo (key);

insert into who (user, project, key, client)
select distinct ifnull(user, 0), ifnull(project, 0), ifnull(key, 0), ifnull(client, 0)
from request;

insert into lane (user, project, key, model_used, backend, local, streamed)
select distinct ifnull(user, 0), ifnull(project, 0), ifnull(key, 0), ifnull(model_used, 0),
  ifnull(backend, 0), local, streamed
from request;

insert into combo (
  who, lane, user, project, key, client, endpoint, model_requested, model_used, backend,
  error_reason, price_version, cost_source, user_source, project_source, session_source, local,
  origin, status, http_code, streamed, usage_source
)
select who.id, lane.id, alike.*
from (
  select distinct ifnull(user, 0) as user, ifnull(project, 0) as project, ifnull(key, 0) as key,
    ifnull(client, 0) as client, ifnull(endpoint, 0), ifnull(model_requested, 0),
    ifnull(model_used, 0) as model_used, ifnull(backend, 0) as backend, ifnull(error_reason, 0),
    0, 0, user_source, project_source, session_source, local, origin, status,
    ifnull(http_code, 0), streamed, usage_source
  from request
) as alike
join who using (user, project, key, client)
join lane using (user, project, key, model_used, backend, local, streamed);

-- One row for each request. Times are UTC microseconds since 1970; null is unknown.
-- Numbers of enums are those of metrics_svc/model.py. keeps: metrics.request_days.
create table short_request (
  id integer primary key,
  request_id blob not null unique check (length(request_id) = 16),
  ts_us integer not null,
  combo integer not null,
  session integer,
  conversation integer,
  finish_reason integer,
  tool_calls integer not null,
  new_messages integer not null,
  tok_in integer,
  tok_out integer,
  -- What the backend's total is above both parts, as far as they are known.
  tok_over integer,
  tok_cached integer,
  tok_cache_write integer,
  tok_reasoning integer,
  duration_us integer,
  first_token_us integer,
  upstream_us integer,
  queue_us integer,
  -- Billionths of a US dollar: as billed, as it counts, and what the same tokens would have
  -- cost at two prices to compare with.
  billed_nano integer,
  cost_nano integer,
  ref1_nano integer,
  ref2_nano integer,
  -- What the backend's device draws while it works on a request, in watts, as configured.
  device_watts real,
  -- The request that this one repeats, by its id: a client library sent again what had failed.
  retry_of blob check (length(retry_of) = 16),
  -- Whether another one repeats this: then it is a try of that one, and no longer counts as
  -- a request. Its tokens were used all the same.
  superseded integer not null default 0,
  -- How many tries of backends. A single one that the request tells (of the same backend,
  -- model, ending and code, and `upstream_us` long) has no row of `attempt`; one that it does
  -- not tell is -1.
  attempts integer not null default 0,
  -- The backend's total counts only where it did not tell both parts.
  tokens integer not null as (
    coalesce(tok_in + tok_out, ifnull(tok_in, 0) + ifnull(tok_out, 0) + ifnull(tok_over, 0))
  ),
  -- 15-minute buckets, each of which lies within one local day of any zone.
  bucket integer not null as (ts_us / 900000000),
  -- For the index, where it takes half the room.
  second integer not null as (ts_us / 1000000)
) strict;

insert into short_request (
  id, request_id, ts_us, combo, session, conversation, finish_reason, tool_calls,
  new_messages, tok_in, tok_out, tok_over, tok_cached, tok_cache_write, tok_reasoning,
  duration_us, first_token_us, upstream_us, queue_us, billed_nano, device_watts, retry_of,
  superseded, attempts
)
select request.id, request_id, ts_us, combo.id, session, conversation, finish_reason, tool_calls,
  new_messages, tok_in, tok_out, tok_total - ifnull(tok_in, 0) - ifnull(tok_out, 0), tok_cached,
  tok_cache_write, tok_reasoning, duration_us, first_token_us, upstream_us, queue_us, billed_nano, device_watts,
  retry_of, superseded, (
    select iif(count(*) = 1, -1, count(*)) from attempt where request = request.id
  )
from request join combo on combo.user = ifnull(request.user, 0)
  and combo.project = ifnull(request.project, 0) and combo.key = ifnull(request.key, 0)
  and combo.client = ifnull(request.client, 0) and combo.endpoint = ifnull(request.endpoint, 0)
  and combo.model_requested = ifnull(request.model_requested, 0)
  and combo.model_used = ifnull(request.model_used, 0)
  and combo.backend = ifnull(request.backend, 0)
  and combo.error_reason = ifnull(request.error_reason, 0)
  and combo.user_source = request.user_source
  and combo.project_source = request.project_source
  and combo.session_source = request.session_source and combo.local = request.local
  and combo.origin = request.origin and combo.status = request.status
  and combo.http_code = ifnull(request.http_code, 0)
  and combo.streamed = request.streamed and combo.usage_source = request.usage_source;

-- Every try of a backend that its request does not tell. keeps: metrics.attempt_days.
create table short_attempt (
  request integer not null references short_request (id) on delete cascade,
  n integer not null,
  backend integer,
  model integer,
  status integer not null,
  http_code integer,
  duration_us integer not null,
  error text,
  primary key (request, n)
) strict, without rowid;

insert into short_attempt select * from attempt;
drop table attempt;
drop table request;
alter table short_request rename to request;
alter table short_attempt rename to attempt;

create index request_by_time on request (second);
create index request_by_retry on request (retry_of) where retry_of is not null;

-- The sums of 15 minutes (metrics_svc/storage/measures.py says what each adds up).
-- keeps: for ever.
create table usage15 (
  bucket integer not null,
  combo integer not null,
  records integer not null,
  requests integer not null,
  active integer not null,
  messages integer not null,
  tool_calls integer not null,
  tokens integer not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  cached_tokens integer not null,
  cache_write_tokens integer not null,
  reasoning_tokens integer not null,
  timed integer not null,
  duration_us integer not null,
  first_tokens integer not null,
  first_token_us integer not null,
  upstream_us integer not null,
  queued integer not null,
  queue_us integer not null,
  generated_tokens integer not null,
  generating_us integer not null,
  priced integer not null,
  cost_nano integer not null,
  ref1_priced integer not null,
  ref1_nano integer not null,
  ref2_priced integer not null,
  ref2_nano integer not null,
  energy_uj integer not null,
  attempts integer not null,
  moved integer not null,
  primary key (bucket, combo)
) strict, without rowid;

-- The same by who asked only: what days and hours are shown by. keeps: for ever.
create table usage15_who (
  bucket integer not null,
  who integer not null,
  records integer not null,
  requests integer not null,
  active integer not null,
  messages integer not null,
  tool_calls integer not null,
  tokens integer not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  cached_tokens integer not null,
  cache_write_tokens integer not null,
  reasoning_tokens integer not null,
  timed integer not null,
  duration_us integer not null,
  first_tokens integer not null,
  first_token_us integer not null,
  upstream_us integer not null,
  queued integer not null,
  queue_us integer not null,
  generated_tokens integer not null,
  generating_us integer not null,
  priced integer not null,
  cost_nano integer not null,
  ref1_priced integer not null,
  ref1_nano integer not null,
  ref2_priced integer not null,
  ref2_nano integer not null,
  energy_uj integer not null,
  attempts integer not null,
  moved integer not null,
  primary key (bucket, who)
) strict, without rowid;

-- Local days of the zone that lair is configured with, as ordinals (1 is 0001-01-01), each
-- with its first bucket and the one after its last. keeps: for ever.
create table day (
  day integer primary key,
  first integer not null unique,
  after integer not null,
  -- The first day of its month.
  month integer not null
) strict;

-- The sums of local days. keeps: for ever.
create table usage_day (
  day integer not null,
  combo integer not null,
  records integer not null,
  requests integer not null,
  active integer not null,
  messages integer not null,
  tool_calls integer not null,
  tokens integer not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  cached_tokens integer not null,
  cache_write_tokens integer not null,
  reasoning_tokens integer not null,
  timed integer not null,
  duration_us integer not null,
  first_tokens integer not null,
  first_token_us integer not null,
  upstream_us integer not null,
  queued integer not null,
  queue_us integer not null,
  generated_tokens integer not null,
  generating_us integer not null,
  priced integer not null,
  cost_nano integer not null,
  ref1_priced integer not null,
  ref1_nano integer not null,
  ref2_priced integer not null,
  ref2_nano integer not null,
  energy_uj integer not null,
  attempts integer not null,
  moved integer not null,
  primary key (day, combo)
) strict, without rowid;

-- The sums of local months, by their first day. keeps: for ever.
create table usage_month (
  month integer not null,
  combo integer not null,
  records integer not null,
  requests integer not null,
  active integer not null,
  messages integer not null,
  tool_calls integer not null,
  tokens integer not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  cached_tokens integer not null,
  cache_write_tokens integer not null,
  reasoning_tokens integer not null,
  timed integer not null,
  duration_us integer not null,
  first_tokens integer not null,
  first_token_us integer not null,
  upstream_us integer not null,
  queued integer not null,
  queue_us integer not null,
  generated_tokens integer not null,
  generating_us integer not null,
  priced integer not null,
  cost_nano integer not null,
  ref1_priced integer not null,
  ref1_nano integer not null,
  ref2_priced integer not null,
  ref2_nano integer not null,
  energy_uj integer not null,
  attempts integer not null,
  moved integer not null,
  primary key (month, combo)
) strict, without rowid;

-- Which sessions and conversations were active: counting different ones does not add up, so
-- each is kept. `n` is how many requests of them. keeps: for ever.
create table presence15 (
  bucket integer not null,
  who integer not null,
  session integer not null,
  conversation integer not null,
  n integer not null,
  primary key (bucket, who, session, conversation)
) strict, without rowid;

-- The different ones of local days: ids, sorted, as little-endian numbers of four bytes; of
-- the conversations once more those outside any session. keeps: for ever.
create table presence_day (
  day integer not null,
  who integer not null,
  sessions blob not null,
  conversations blob not null,
  loose_conversations blob not null,
  primary key (day, who)
) strict, without rowid;

-- The first and last active request that has neither: a silence of more than 30 minutes ends
-- a sitting, and none fits into a bucket. keeps: for ever.
create table sitting15 (
  bucket integer not null,
  who integer not null,
  first_us integer not null,
  last_us integer not null,
  primary key (bucket, who)
) strict, without rowid;

-- Tries that failed before another backend was asked, and which one ended it.
-- keeps: for ever.
create table hop15 (
  bucket integer not null,
  who integer not null,
  backend integer not null,
  model integer not null,
  status integer not null,
  to_backend integer not null,
  to_model integer not null,
  n integer not null,
  duration_us integer not null,
  primary key (bucket, who, backend, model, status, to_backend, to_model)
) strict, without rowid;

-- Distributions of an hour (UTC): metrics_svc/histograms.py says how to read the blobs.
-- keeps: for ever.
create table spread_hour (
  hour integer not null,
  lane integer not null,
  counts blob not null,
  primary key (hour, lane)
) strict, without rowid;

-- The same of a UTC day. keeps: for ever.
create table spread_day (
  day integer not null,
  lane integer not null,
  counts blob not null,
  primary key (day, lane)
) strict, without rowid;

-- Ids of requests that came when their 15 minutes were sealed, so that none counts twice.
-- keeps: metrics.request_days.
create table late (
  request_id blob primary key check (length(request_id) = 16),
  seen_us integer not null
) strict, without rowid;

-- Single numbers: `rolled` is the last request in the sums, `sealed` the first bucket that
-- still has all its requests, `late` how many came too late for theirs. keeps: for ever.
delete from meta;
insert into meta values ('rolled', 0), ('sealed', 0), ('late', 0);

-- What the zone was when `usage_day` was made. keeps: for ever.
create table zone (name text primary key) strict, without rowid;

-- For people who query this file themselves, in the words of the plan lair grew from: one row
-- a day with activity. Days are those of the zone lair is configured with (table `zone`; UTC
-- where none is). Requests and success are of all origins; a request that was repeated is
-- none of its own, nor is one that its client gave up or got wrong a failure.
create view daily_stats as
with used as (
  select day, model_used, backend, combo.status, requests, usage_day.active, messages, tokens,
    duration_us, timed
  from usage_day join combo on combo.id = usage_day.combo
), model_day as (
  select day, value, sum(requests) as n from used join dim on dim.id = model_used group by 1, 2
), backend_day as (
  select day, value, sum(requests) as n from used join dim on dim.id = backend group by 1, 2
), models as materialized (
  select day, json_group_object(value, n) as named from model_day group by day
), backends as materialized (
  select day, json_group_object(value, n) as named from backend_day group by day
), seen as materialized (
  select day, count(distinct nullif(conversation, 0)) as conversations,
    count(distinct nullif(session, 0)) as sessions
  from day cross join presence15 on bucket >= first and bucket < after group by day
)
select date((used.day - 719163) * 86400, 'unixepoch') as date,
  sum(requests) as total_requests,
  sum(messages) as total_messages,
  sum(tokens) as total_tokens,
  ifnull(seen.conversations, 0) as unique_conversations,
  ifnull(seen.sessions, 0) as unique_sessions,
  ifnull(models.named, '{}') as models_used,
  ifnull(backends.named, '{}') as backends_used,
  sum(duration_us) / 1000.0 / nullif(sum(timed), 0) as avg_duration_ms,
  sum(iif(status = 1, requests, 0)) * 1.0
    / nullif(sum(iif(status not in (2, 7, 8), requests, 0)), 0) as success_rate,
  (select datetime(max(second), 'unixepoch') from request) as updated_at
from used
left join seen using (day)
left join models using (day)
left join backends using (day)
group by used.day having sum(active);
