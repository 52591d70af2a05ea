//! Function apps other than this repository's: whatever is made with `azure_functions_sdk`.
//!
//! Such an app is a folder with a `host.json` and, as the Functions host wants it, a folder of its name with a
//! `function.json` for each function; and a package of Cargo whose program is the handler. [`AppFolder`] reads it,
//! `cargo stage --app DIR` lays it out and `cargo local up --app DIR` runs it, beside Azurite and a hub where it reads one.
//!
//! | module | what it is |
//! |---|---|
//! | `folder` | reads an app |
//! | `settings` | its app settings, with the connections that it needs here |
//! | `run` | `cargo local up --app DIR` |
//! | `view` | what that shows |

mod folder;
mod run;
mod settings;
mod view;

pub use folder::{AppFolder, AppFunction};
pub use run::{AppOptions, RunningApp, run};
