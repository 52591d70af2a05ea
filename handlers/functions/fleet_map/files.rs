//! What the page is made of.

use crate::http::page::{CSS, File, HTML, SCRIPT, SVG, file};

const FILES: &[File] = &[
    file!("", HTML, "page/index.html"),
    file!("icon.svg", SVG, "page/icon.svg"),
    file!("style.css", CSS, "page/style.css"),
    file!("api.js", SCRIPT, "page/api.js"),
    file!("app.js", SCRIPT, "page/app.js"),
    file!("ask.js", SCRIPT, "page/ask.js"),
    file!("basemap.js", SCRIPT, "page/basemap.js"),
    file!("drones_layer.js", SCRIPT, "page/drones_layer.js"),
    file!("fleet.js", SCRIPT, "page/fleet.js"),
    file!("geo.js", SCRIPT, "page/geo.js"),
    file!("panel.js", SCRIPT, "page/panel.js"),
    file!("poll.js", SCRIPT, "page/poll.js"),
    file!("sprites.js", SCRIPT, "page/sprites.js"),
    file!("status.js", SCRIPT, "page/status.js"),
    file!("theme.js", SCRIPT, "page/theme.js"),
    file!("leaflet.js", SCRIPT, "vendor/leaflet/leaflet.js"),
    file!("leaflet.css", CSS, "vendor/leaflet/leaflet.css"),
    file!(
        "leaflet.txt",
        "text/plain; charset=utf-8",
        "vendor/leaflet/LICENSE"
    ),
    file!(
        "land.json",
        "application/json",
        "vendor/world-atlas/land-50m.json"
    ),
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
            Path::new(env!("CARGO_MANIFEST_DIR")).join("handlers/functions/fleet_map/page");
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
