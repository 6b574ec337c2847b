"""Whether the client of a conversation sends all of its history again with each request.

Of such a client a message without any answer before it is no next message: it begins the
conversation anew, as where its user edits the first message or has it answered again.
"""

from __future__ import annotations

from svckit.sqlite import Database

# Edits of the first message tell nothing, and there are seldom many in a row.
_MOST_TURNS = 20

_LATEST = """
select t.key, t.input_count, m.position from turn as t join message as m on m.id = t.input_end
where t.conversation = ? and t.input_count > 0 order by t.key desc limit ?
"""

_ANSWERS_SENT = """
with recursive sent (id, parent, more) as (
  select m.id, m.parent, t.input_count from turn as t join message as m on m.id = t.input_end
  where t.key = ?
  union all
  select m.id, m.parent, sent.more - 1 from sent join message as m on m.id = sent.parent
  where sent.more > 1
)
select 1 from sent where id in (select answer from turn where conversation = ?) limit 1
"""


async def resends(database: Database, conversation: int) -> bool:
    """Tell whether the last turn that shows it came with earlier answers, from the first on."""
    for row in await database.fetch(_LATEST, (conversation, _MOST_TURNS)):
        begins = row["input_count"] > row["position"]
        if row["input_count"] == 1:
            if not begins:
                return False
            continue
        if await database.fetch(_ANSWERS_SENT, (row["key"], conversation)):
            return bool(begins)
    return False
