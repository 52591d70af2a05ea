//! The page's files, and how they are served.

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use drone_delivery::http::page::{self, CSS, File, HTML, SCRIPT, SVG};

/// What the page may load and run: files of this program. No script and no style inside of the page.
pub(super) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

macro_rules! file {
    ($name:literal, $type:expr, $path:literal) => {
        File {
            name: $name,
            content_type: $type,
            body: include_bytes!($path),
        }
    };
}

/// Some of them are the map's.
const FILES: &[File] = &[
    file!("", HTML, "page/index.html"),
    file!("style.css", CSS, "page/style.css"),
    file!("app.js", SCRIPT, "page/app.js"),
    file!("charts.js", SCRIPT, "page/charts.js"),
    file!("sections.js", SCRIPT, "page/sections.js"),
    file!("tables.js", SCRIPT, "page/tables.js"),
    file!("text.js", SCRIPT, "page/text.js"),
    file!("traces.js", SCRIPT, "page/traces.js"),
    file!("waterfall.js", SCRIPT, "page/waterfall.js"),
    file!(
        "icon.svg",
        SVG,
        "../../../../handlers/functions/fleet_map/page/icon.svg"
    ),
    file!(
        "theme.js",
        SCRIPT,
        "../../../../handlers/functions/fleet_map/page/theme.js"
    ),
];

/// A file of the page; `None` where it has none of this name.
pub(super) fn file(name: &str, request: &HeaderMap) -> Option<Response> {
    let file = FILES.iter().find(|file| file.name == name)?;
    Some(page::answer(request, file, POLICY))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/otlp/page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let name = if name == "index.html" { "" } else { &name };
            let served = FILES.iter().find(|file| file.name == name);
            let body = served
                .unwrap_or_else(|| panic!("{name} is missing in FILES"))
                .body;
            assert_eq!(body, std::fs::read(entry.path()).unwrap(), "{name}");
        }
    }
}
