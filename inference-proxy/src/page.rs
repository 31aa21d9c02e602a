//! The page at `/`: what is served, and a form to try it. Hand-written files without a build step, carried in the program.
//!
//! It draws what `GET /v1/models` answers and asks models as any client does. It holds no inline script or style, and
//! loads nothing from elsewhere.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::error::ApiError;

/// Name, media type and content of each file.
const FILES: [(&str, &str, &str); 4] = [
    ("index.html", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("favicon.svg", "image/svg+xml", include_str!("../page/favicon.svg")),
];

/// The page may load scripts, styles and data from this server alone, and nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/page/{file}", get(async |Path(name): Path<String>| file(&name)))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::X_FRAME_OPTIONS, "DENY"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        // a new program may bring a new page under the same name
        .layer(fixed(header::CACHE_CONTROL, "no-cache"))
}

fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some(&(_, media, text)) => ([(header::CONTENT_TYPE, media)], text).into_response(),
        None => ApiError::no_path(&format!("/page/{name}")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(name: &str) -> &'static str {
        FILES.iter().find(|(known, ..)| *known == name).unwrap().2
    }

    #[test]
    fn every_file_of_the_folder_is_carried_and_every_reference_leads_to_one() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let there: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(there, FILES.iter().map(|(name, ..)| (*name).to_owned()).collect());
        let references = text("index.html").split('"').filter_map(|word| word.strip_prefix("/page/"));
        let referred: BTreeSet<&str> = references.collect();
        assert_eq!(referred, BTreeSet::from(["style.css", "app.js", "favicon.svg"]));
    }

    #[test]
    fn the_page_works_under_its_policy() {
        let html = text("index.html");
        for inline in ["<style", "style=", "onclick", "onload", "javascript:", "http://", "https://"] {
            assert!(!html.contains(inline), "index.html holds {inline}");
        }
        assert_eq!(html.matches("<script").count(), 1);
        for (line, code) in text("app.js").lines().enumerate() {
            assert!(!code.contains(".style"), "app.js:{} sets a style", line + 1);
        }
    }

    /// Names, labels and answers come from outside: none may ever be read as markup.
    #[test]
    fn nothing_becomes_markup() {
        for way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function"]
        {
            assert!(!text("app.js").contains(way), "app.js uses {way}");
        }
    }
}
