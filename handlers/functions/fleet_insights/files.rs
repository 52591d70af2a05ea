//! What the page is made of; some of it is the map's.

use crate::http::page::{CSS, File, HTML, SCRIPT, SVG, file};

const FILES: &[File] = &[
    file!("", HTML, "page/index.html"),
    file!("style.css", CSS, "page/style.css"),
    file!("app.js", SCRIPT, "page/app.js"),
    file!("charts.js", SCRIPT, "page/charts.js"),
    file!("figures.js", SCRIPT, "page/figures.js"),
    file!("spots.js", SCRIPT, "page/spots.js"),
    file!("tables.js", SCRIPT, "page/tables.js"),
    file!("ask.js", SCRIPT, "../fleet_map/page/ask.js"),
    file!("icon.svg", SVG, "../fleet_map/page/icon.svg"),
    file!("theme.js", SCRIPT, "../fleet_map/page/theme.js"),
];

pub(super) fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers/functions/fleet_insights/page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let served = find(if name == "index.html" { "" } else { &name });
            let body = served
                .unwrap_or_else(|| panic!("{name} is missing in FILES"))
                .body;
            assert_eq!(body, std::fs::read(entry.path()).unwrap(), "{name}");
        }
    }
}
