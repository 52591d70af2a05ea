-- The tables as views, for Spark 3.4 or later: one cell of a Fabric or Databricks notebook in SQL, or spark-sql -i.
-- In Fabric `Files/delivery-insights` is the shortcut; elsewhere put the folder's URL in its place.

SET spark.sql.session.timeZone = UTC;

CREATE OR REPLACE TEMPORARY VIEW flight USING parquet
OPTIONS (path 'Files/delivery-insights/flight', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW operating USING parquet
OPTIONS (path 'Files/delivery-insights/operating', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW rejects USING parquet
OPTIONS (path 'Files/delivery-insights/rejects', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW cells USING parquet
OPTIONS (path 'Files/delivery-insights/cells', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW deliveries USING parquet
OPTIONS (path 'Files/delivery-insights/deliveries', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW drone_hours USING parquet
OPTIONS (path 'Files/delivery-insights/drone_hours', mergeSchema 'true');

-- fleet.json lies beside these.
CREATE OR REPLACE TEMPORARY VIEW fleet_hours USING parquet
OPTIONS (path 'Files/delivery-insights/fleet_hours', mergeSchema 'true', pathGlobFilter '*.parquet');
