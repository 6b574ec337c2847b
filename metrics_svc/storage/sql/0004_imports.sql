-- Days, streaks, sessions and messages also count what was imported (3): its user asked it,
-- only of another program.
alter table request drop column active;
alter table request add column active integer not null
  as (origin in (1, 3) and status not in (7, 8) and not superseded);
