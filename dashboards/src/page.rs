//! The web page: hand-written files without a build step, carried in the program.
//!
//! The page asks the analyzer's API (`contract::api`) and draws what it answers; whoever serves it need not know what
//! it is. It holds no inline script or style, so it works under `Content-Security-Policy: default-src 'self'`.

/// One file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Path in the URL; `/index.html` is the page itself, to be found at `/` too.
    pub path: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $file:literal, $type:expr) => {
        Asset { path: $path, content_type: $type, bytes: include_bytes!(concat!("../page/", $file)) }
    };
}

const ASSETS: &[Asset] = &[
    asset!("/index.html", "index.html", HTML),
    asset!("/style.css", "style.css", CSS),
    asset!("/favicon.svg", "favicon.svg", SVG),
    asset!("/app.js", "app.js", SCRIPT),
    asset!("/charts.js", "charts.js", SCRIPT),
    asset!("/detail.js", "detail.js", SCRIPT),
    asset!("/dom.js", "dom.js", SCRIPT),
    asset!("/format.js", "format.js", SCRIPT),
    asset!("/overview.js", "overview.js", SCRIPT),
    asset!("/state.js", "state.js", SCRIPT),
    asset!("/system.js", "system.js", SCRIPT),
];

/// All files of the page.
#[must_use]
pub fn assets() -> &'static [Asset] {
    ASSETS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(path: &str) -> &'static str {
        let asset = ASSETS.iter().find(|a| a.path == path).unwrap_or_else(|| panic!("no {path}"));
        std::str::from_utf8(asset.bytes).unwrap()
    }

    fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS.iter().filter(|a| a.content_type == SCRIPT).map(|a| (a.path, text(a.path)))
    }

    #[test]
    fn every_file_of_the_folder_is_carried() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let there: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        let carried: BTreeSet<String> = ASSETS.iter().map(|a| a.path[1..].to_owned()).collect();
        assert_eq!(there, carried);
    }

    #[test]
    fn the_page_works_under_a_strict_policy() {
        let html = text("/index.html");
        for inline in ["<style", "style=", "onclick", "onload", "javascript:", "http://", "https://"] {
            assert!(!html.contains(inline), "index.html holds {inline}");
        }
        assert!(!html.replace("<script type=\"module\" src=\"/app.js\"></script>", "").contains("<script"));
        for (path, script) in scripts() {
            for (line, code) in script.lines().enumerate() {
                assert!(!code.contains("\"style\"") && !code.contains("style:"), "{path}:{} sets a style", line + 1);
            }
        }
    }

    /// Labels, features and classes come from outside: none may ever be read as markup.
    #[test]
    fn nothing_becomes_markup() {
        for (path, script) in scripts() {
            for way in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function"]
            {
                assert!(!script.contains(way), "{path} uses {way}");
            }
        }
    }

    #[test]
    fn every_import_and_reference_is_carried() {
        let paths: BTreeSet<&str> = ASSETS.iter().map(|a| a.path).collect();
        for (path, script) in scripts() {
            for import in script.lines().filter_map(|l| l.split(" from \"./").nth(1)) {
                let file = format!("/{}", import.trim_end_matches("\";"));
                assert!(paths.contains(file.as_str()), "{path} imports {file}");
            }
        }
        for reference in text("/index.html").split(['"']).filter(|w| w.starts_with('/') && w.contains('.')) {
            assert!(paths.contains(reference), "index.html refers to {reference}");
        }
    }

    #[test]
    fn every_state_has_a_shape_and_a_word() {
        let script = text("/state.js");
        let states = contract::api::DriftState::ALL.map(contract::api::DriftState::as_str);
        let verdicts = contract::api::ShadowVerdict::ALL.map(contract::api::ShadowVerdict::as_str);
        for word in states.into_iter().chain(verdicts) {
            assert_eq!(script.matches(&format!("\n  {word}: ")).count(), 2, "{word}");
        }
    }
}
