"""Requests that were sent again: the earlier one becomes a try of the later one.

Records come in any order, and again and again, so both directions are looked at whenever
rows are new. Only requests of the same user: nobody makes another's disappear.
"""

from __future__ import annotations

_REPEATED_BY_NEW = """
update request set superseded = 1
from request as later
where later.id > ? and later.retry_of = request.request_id and later.user is request.user
"""

_NEW_BUT_REPEATED = """
update request set superseded = 1
where id > ? and exists (
  select 1 from request as later
  where later.retry_of = request.request_id and later.user is request.user
)
"""

# Where the beginning was a request that turned out to be repeated, another one is.
_FORGET_BEGINNING = """
delete from meta where name = 'first_active_us' and value in (
  select earlier.ts_us from request as later
  join request as earlier on earlier.request_id = later.retry_of
  where later.id > ? and earlier.superseded
)
"""

_BEGIN_AGAIN = """
insert into meta (name, value)
select 'first_active_us', ts_us from request
where active and not exists (select 1 from meta where name = 'first_active_us')
  and exists (select 1 from request where id > ? and retry_of is not null)
order by ts_us limit 1
"""

# Each takes the id of the last row that is not new, and all of them in this order.
SUPERSEDE = (_REPEATED_BY_NEW, _NEW_BUT_REPEATED, _FORGET_BEGINNING, _BEGIN_AGAIN)
