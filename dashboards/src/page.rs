//! The web page: one file, made by `make page` from `page/src/`, carried in the program.
//!
//! The page asks the analyzer's API (`contract::api`) and draws what it answers; whoever serves it need not know what it is. Script
//! and style stand in it, so it paints from one request, and its policy allows exactly those two, by their hashes.

/// One file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Path in the URL; `/index.html` is the page itself, to be found at `/` too.
    pub path: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    /// Its `Content-Security-Policy`.
    pub policy: &'static str,
}

/// What `make page` makes.
struct Bundle {
    html: &'static [u8],
    policy: &'static str,
}

/// `None` where the program was built without Node, or the bundle was older than its sources: see `build.rs`.
const BUNDLE: Option<Bundle> = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

const HTML: &str = "text/html; charset=utf-8";

const PAGE: Asset = match BUNDLE {
    Some(Bundle { html, policy }) => Asset { path: "/index.html", content_type: HTML, bytes: html, policy },
    None => Asset {
        path: "/index.html",
        content_type: HTML,
        bytes: include_bytes!("../page/absent.html"),
        policy: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    },
};

/// All files of the page.
#[must_use]
pub fn assets() -> &'static [Asset] {
    &[PAGE]
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::Path};

    use super::*;

    /// What a browser may load before the page is of use, compressed.
    const COMPRESSED_BYTES_MAX: usize = 150_000;

    fn html() -> &'static str {
        let Some(bundle) = BUNDLE else { panic!("the page is not built in: run `make page`, which needs Node") };
        std::str::from_utf8(bundle.html).unwrap()
    }

    /// Path and text of every source.
    fn sources() -> Vec<(String, String)> {
        fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("page/src"), &mut found);
        assert!(found.len() > 15, "only {} sources", found.len());
        found
    }

    #[test]
    fn the_page_is_one_small_file_under_a_strict_policy() {
        let page = html();
        assert_eq!((page.matches("<script").count(), page.matches("<style").count()), (1, 1));
        assert!(!page.contains(" src=\"") && !page.contains("rel=\"stylesheet\""), "the page loads something else");
        let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        compressed.write_all(page.as_bytes()).unwrap();
        let size = compressed.finish().unwrap().len();
        assert!(size < COMPRESSED_BYTES_MAX, "{size} bytes compressed");
        for way in ["unsafe", "*", "http:", "https:"] {
            assert!(!PAGE.policy.contains(way), "the policy allows {way}");
        }
        assert!(PAGE.policy.starts_with("default-src 'none'") && PAGE.policy.contains("frame-ancestors 'none'"));
    }

    /// Labels, features and classes come from outside: none may ever be read as markup.
    #[test]
    fn nothing_becomes_markup() {
        for (path, text) in sources() {
            for way in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function"]
            {
                assert!(!text.to_lowercase().contains(&way.to_lowercase()), "{path} uses {way}");
            }
        }
    }

    #[test]
    fn every_state_has_a_shape_and_a_word() {
        let sources = sources();
        let script = &sources.iter().find(|(path, _)| path.ends_with("state.tsx")).unwrap().1;
        let states = contract::api::DriftState::ALL.map(contract::api::DriftState::as_str);
        let verdicts = contract::api::ShadowVerdict::ALL.map(contract::api::ShadowVerdict::as_str);
        for word in states.into_iter().chain(verdicts) {
            assert_eq!(script.matches(&format!("\n  {word}: ")).count(), 2, "{word}");
        }
    }

    #[test]
    fn the_lockfile_names_no_registry_and_pins_every_package() {
        let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("page/package-lock.json")).unwrap();
        let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["resolved"].is_null(), "{name} names where it comes from");
            assert!(package["integrity"].is_string(), "{name} has no checksum");
        }
        assert!(packages.len() > 5);
    }
}
