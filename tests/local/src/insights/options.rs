//! The options of `cargo local insights`.

use std::path::PathBuf;

use clap::Args;

/// See `cargo local insights --help`.
#[derive(Debug, Clone, Args)]
pub struct InsightsOptions {
    /// How many days are shown, the last ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub days: u16,
    /// Copy the tables into this folder, for DuckDB and other programs that read files. What is there already and has not
    /// changed is not copied again. The local system's are always copied, into target/insights.
    #[arg(long, value_name = "FOLDER")]
    pub copy: Option<PathBuf>,
}
