-- The tables as views of a Synapse serverless SQL pool, and three questions.
--
-- Written after the documentation and not run: there was no workspace at hand. Put the storage account's name for ACCOUNT. The
-- workspace's managed identity needs the role Storage Blob Data Reader on the container; where the account is closed to public
-- networks, a managed private endpoint as well.

CREATE DATABASE insights COLLATE Latin1_General_100_BIN2_UTF8;
GO
USE insights;
GO
-- It protects a credential that holds no secret.
CREATE MASTER KEY;
CREATE DATABASE SCOPED CREDENTIAL workspace WITH IDENTITY = 'Managed Identity';
CREATE EXTERNAL DATA SOURCE delivery_insights
WITH (LOCATION = 'https://ACCOUNT.blob.core.windows.net/delivery-insights', CREDENTIAL = workspace);
GO

-- `filepath(1)` is the folder's date. A condition on it decides what is read, and what is paid for.
CREATE VIEW deliveries AS
SELECT CAST(files.filepath(1) AS date) AS [date], files.*
FROM OPENROWSET(BULK 'deliveries/date=*/*.parquet', DATA_SOURCE = 'delivery_insights', FORMAT = 'PARQUET')
WITH (
    device_id varchar(128), delivery_id varchar(128), first_at datetime2(6), last_at datetime2(6),
    departed_at datetime2(6), picked_up_at datetime2(6), dropped_off_at datetime2(6), arrived_at datetime2(6),
    ended_at datetime2(6), outcome varchar(16), to_pick_up_s float, loaded_s float, return_s float, delivery_s float,
    distance_m float, battery_used float,
    pick_up_latitude float, pick_up_longitude float, pick_up_h3 varchar(15),
    drop_off_latitude float, drop_off_longitude float, drop_off_h3 varchar(15), complete bit
) AS files;
GO
CREATE VIEW drone_hours AS
SELECT CAST(files.filepath(1) AS date) AS [date], files.*
FROM OPENROWSET(BULK 'drone_hours/date=*/*.parquet', DATA_SOURCE = 'delivery_insights', FORMAT = 'PARQUET') AS files;
GO
CREATE VIEW fleet_hours AS
SELECT CAST(files.filepath(1) AS date) AS [date], files.*
FROM OPENROWSET(BULK 'fleet_hours/date=*/*.parquet', DATA_SOURCE = 'delivery_insights', FORMAT = 'PARQUET') AS files;
GO

-- The last day, hour by hour.
SELECT TOP 24 [hour], deliveries_delivered, phases_delivery_p50, phases_delivery_p95, utilisation, quality_completeness, complete
FROM fleet_hours
ORDER BY [hour] DESC;

-- Lost deliveries of the last thirty days.
SELECT device_id, delivery_id, last_at, IIF(picked_up_at IS NULL, 0, 1) AS loaded
FROM deliveries
WHERE [date] >= DATEADD(day, -30, SYSUTCDATETIME())
  AND outcome = 'open'
  AND last_at <= DATEADD(hour, -24, (SELECT DATEADD(hour, 1, MAX([hour])) FROM fleet_hours WHERE complete = 1))
ORDER BY last_at;

-- Where parcels are picked up.
SELECT TOP 20 pick_up_h3, COUNT(*) AS deliveries, AVG(pick_up_latitude) AS latitude, AVG(pick_up_longitude) AS longitude
FROM deliveries
WHERE [date] >= DATEADD(day, -7, SYSUTCDATETIME()) AND pick_up_h3 IS NOT NULL
GROUP BY pick_up_h3
ORDER BY deliveries DESC;
