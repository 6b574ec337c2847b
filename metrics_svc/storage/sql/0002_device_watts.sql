-- What the backend's device draws while it works on a request, in watts, as configured.
alter table request add column device_watts real;
