-- When backends in the house worked: what electricity is counted by. Requests side by side
-- share a device, so what is kept is when at least one was in flight: spans of steps of 15 ms
-- within the quarter of an hour, pairs of little-endian 16-bit numbers, in order and apart.
-- `watts` is what the device draws, 0 where it is unknown. keeps: for ever.
create table busy15 (
  bucket integer not null,
  backend integer not null,
  watts real not null,
  busy_us integer not null,
  spans blob not null,
  primary key (bucket, backend, watts)
) strict, without rowid;
