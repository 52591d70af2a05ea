-- The tables as views, for DuckDB 1.3 or later. `root` is where they are: a folder, or az://delivery-insights.
--
--     SET VARIABLE root = 'az://delivery-insights';      -- the folder that you are in, where it is not set

SET TimeZone = 'UTC';

CREATE OR REPLACE VIEW flight AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/flight/date=*/hour=*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW operating AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/operating/date=*/hour=*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW rejects AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/rejects/date=*/hour=*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW cells AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/cells/date=*/hour=*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW deliveries AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/deliveries/date=*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW drone_hours AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/drone_hours/date=*/*.parquet', hive_partitioning = true, union_by_name = true);

CREATE OR REPLACE VIEW fleet_hours AS
SELECT * FROM read_parquet(coalesce(getvariable('root'), '.') || '/fleet_hours/date=*/*.parquet', hive_partitioning = true, union_by_name = true);
