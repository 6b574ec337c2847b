-- A request's id is a UUID nearly always: kept as its 16 bytes it takes less than half.
update message set request_id = packed_id(request_id);
update turn set request_id = packed_id(request_id);
update recall set request_id = packed_id(request_id);
update request set request_id = packed_id(request_id);

-- A request that has a turn is known by that; the others are those whose turn went.
delete from request where exists (
  select 1 from turn as t where t.owner = request.owner and t.request_id = request.request_id);
create trigger request_outlives_its_turn after delete on turn begin
  insert or ignore into request values (old.owner, old.request_id, old.created_us);
end;
