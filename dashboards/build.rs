//! Takes the page's bundle into the program if it is there and fresh.
//!
//! The choice: Node is needed to make the page, not to build the program. `make page` leaves `page/dist/`, which git ignores,
//! with a fingerprint of the sources it was made from. A bundle whose sources have changed since is left out, as an absent
//! one is, and the program then serves a page that says how to get it: nothing stale is ever carried.
#![allow(clippy::print_stdout)] // how a build script speaks to cargo

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// What the bundle is made of, as in `page/sources.mjs`.
const PARTS: [&str; 7] =
    ["index.html", "package-lock.json", "package.json", "sources.mjs", "src", "tsconfig.json", "vite.config.mjs"];

fn main() -> io::Result<()> {
    let page = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("page");
    for part in PARTS.iter().chain(&["dist"]) {
        println!("cargo:rerun-if-changed={}", page.join(part).display());
    }
    let made_from = fs::read_to_string(page.join("dist/sources.txt")).unwrap_or_default();
    let fresh = made_from.trim() == fingerprint(&page)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let bundle = if fresh {
        for name in ["index.html", "policy.txt"] {
            fs::copy(page.join("dist").join(name), out.join(name))?;
        }
        "Some(Bundle { html: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/index.html\")), \
         policy: include_str!(concat!(env!(\"OUT_DIR\"), \"/policy.txt\")) })"
    } else {
        println!("cargo:warning=the web page is {}: run `make page` (needs Node)", state(&made_from));
        "None"
    };
    fs::write(out.join("bundle.rs"), bundle)
}

fn state(made_from: &str) -> &'static str {
    if made_from.is_empty() { "not built" } else { "older than its sources" }
}

/// SHA-256 over path, size and contents of every part, in the order of paths.
fn fingerprint(page: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for part in PARTS {
        walk(page, part, &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        let bytes = fs::read(page.join(&path))?;
        hash.update(format!("{path}\n{}\n", bytes.len()));
        hash.update(&bytes);
    }
    Ok(hex::encode(hash.finalize()))
}

fn walk(page: &Path, path: &str, files: &mut Vec<String>) -> io::Result<()> {
    if !page.join(path).is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(page.join(path))? {
        walk(page, &format!("{path}/{}", entry?.file_name().to_string_lossy()), files)?;
    }
    Ok(())
}
