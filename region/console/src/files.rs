//! The pages' files, as they are in `web/`.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64;

/// An embedded file.
pub(crate) struct File {
    /// Its path below `/console/`; the page itself is `index.html`.
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) bytes: &'static [u8],
    /// A strong validator: the hash of the bytes, in quotes.
    pub(crate) tag: String,
}

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../web/", $name)) as &'static [u8])),*]
    };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let embedded = embed![
        "index.html",
        "style.css",
        "icon.svg",
        "app.js",
        "session.js",
        "sigv4.js",
        "sha256.js",
        "iam.js",
        "api.js",
        "forms.js",
        "ui.js",
        "advice.js",
        "values.js",
        "snippets.js",
        "expressions.js",
        "metrics.js",
        "chart.js",
        "faults.js",
        "outline.js",
        "pages/world.js",
        "pages/tables.js",
        "pages/table-forms.js",
        "pages/table-replicas.js",
        "pages/table-settings.js",
        "pages/items.js",
        "pages/editor.js",
        "pages/streams.js",
        "pages/conflicts.js",
        "pages/reactions.js",
        "pages/recovery.js",
        "pages/transfers.js",
        "pages/bulk.js",
        "pages/vaults.js",
        "pages/verify.js",
        "pages/keys.js",
        "pages/scaling.js",
        "pages/access.js",
        "pages/accounts.js",
        "pages/checker.js",
        "pages/now.js",
    ];
    let file = |(name, bytes): (&'static str, &'static [u8])| File {
        name,
        kind: kind(name),
        bytes,
        tag: format!("\"{:016x}\"", xxh3_64(bytes)),
    };
    embedded.into_iter().map(file).collect()
});

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The file of that name.
pub(crate) fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

/// Bytes of all files together, not compressed.
pub fn size() -> usize {
    FILES.iter().map(|file| file.bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_embedded_and_all_are_small() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut found = 0;
        for folder in [web.clone(), web.join("pages")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(&web).unwrap().to_str().unwrap();
                    assert!(file(name).is_some(), "{name} is not embedded");
                    found += 1;
                }
            }
        }
        assert_eq!(found, FILES.len());
        // As they are: less when compressed.
        assert!(size() < 500 << 10, "{}", size());
    }

    #[test]
    fn no_file_names_another_host() {
        for file in FILES.iter() {
            let text = String::from_utf8_lossy(file.bytes);
            for (at, _) in text.match_indices("://") {
                let around = &text[text.floor_char_boundary(at.saturating_sub(5))..text.ceil_char_boundary(at + 40)];
                // Names of XML's forms, and texts that are shown; nothing is fetched from them.
                let known = [
                    "www.w3.org",
                    "iam.amazonaws.com",
                    "sts.amazonaws.com",
                    "${",
                    "://USER@HOST",
                    "://user@host",
                    "s3://bucket",
                ];
                assert!(
                    known.iter().any(|known| around.contains(known)),
                    "{}: {around}",
                    file.name
                );
            }
        }
    }
}
