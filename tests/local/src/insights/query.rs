//! A question to the tables that works as it is printed.

use std::path::Path;

/// What to paste into a terminal: DuckDB by Python, which is how PyPI has it, and by its own program.
pub(super) fn printed(folder: &Path) -> String {
    // A folder with a quote in its name has to be asked for in another way.
    let query = query(&folder.display().to_string().replace('\'', "''"));
    format!(
        "Ask them with DuckDB (pip install duckdb):\n  python3 -c \"import duckdb; duckdb.sql(\\\"{query}\\\").show()\"\n  duckdb -c \"{query}\""
    )
}

/// Without a double quote, a dollar sign or a backquote, so that shells leave it alone.
fn query(folder: &str) -> String {
    format!(
        "select date, outcome, count(*) as deliveries, round(median(delivery_s)) as p50_s, round(sum(distance_m) / 1000, 1) as km \
         from '{folder}/deliveries/date=*/*.parquet' group by all order by all"
    )
}
