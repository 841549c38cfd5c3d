//! The files that a roster refers to: asked for by name or pattern, answered by whoever has them.

use std::sync::Arc;

use super::Format;

/// One text with its name.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// A name for people, and for what refers to it: `config`, `conf.d/web.conf`, `~/.ssh/id_ed25519`.
    pub name: String,
    /// What is in it.
    pub text: Arc<str>,
    /// What it is; `None`: to be found out.
    pub format: Option<Format>,
}

// It may be a private key.
impl std::fmt::Debug for File {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("File")
            .field("name", &self.name)
            .field("bytes", &self.text.len())
            .field("format", &self.format)
            .finish()
    }
}

impl File {
    /// A text whose format is to be found out.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            format: None,
        }
    }
}

/// Where the texts come from that another one refers to.
pub trait Files {
    /// Those whose path fits a pattern of `*` and `?` (or is it), in the order of their names.
    fn open(&self, pattern: &str) -> Vec<File>;
}

/// Files that were handed over together, without the directories they lay in: one fits when its whole
/// name does, or else when its last part does.
#[derive(Debug)]
pub struct Uploaded<'a>(pub &'a [File]);

impl Files for Uploaded<'_> {
    fn open(&self, pattern: &str) -> Vec<File> {
        let fits = |wanted: &str, of: fn(&str) -> &str| -> Vec<File> {
            let mut found: Vec<File> = self
                .0
                .iter()
                .filter(|file| glob(wanted, of(&file.name)))
                .cloned()
                .collect();
            found.sort_by(|one, other| one.name.cmp(&other.name));
            found
        };
        let whole = fits(pattern, |name| name);
        if !whole.is_empty() {
            return whole;
        }
        // `conf.d/*.conf` may have been handed over as `web.conf`, but `*` alone would be everything.
        let last = last_part(pattern);
        if last.bytes().all(|byte| byte == b'*') {
            return Vec::new();
        }
        fits(last, last_part)
    }
}

/// What follows the last slash.
#[must_use]
pub fn last_part(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Whether a text is a private key, of any kind.
#[must_use]
pub fn is_private_key(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with("-----BEGIN ")
        && start
            .lines()
            .next()
            .is_some_and(|line| line.contains("PRIVATE KEY-----"))
        || start.starts_with("PuTTY-User-Key-File-")
}

/// Whether a name fits a pattern with `*` and `?`, as `ssh_config(5)` means them.
#[must_use]
pub fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut matched) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while matched < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, matched));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[matched] => {
                at += 1;
                matched += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    at = star + 1;
                    matched = from + 1;
                    retry = Some((star, matched));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}
