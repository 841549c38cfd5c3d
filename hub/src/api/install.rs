//! What a machine installs its agent from: the script, the agents themselves, and the one line
//! that begins it all.
//!
//! Nothing is trusted on first use. The line a person copies holds the SHA-256 of the script, the
//! script the SHA-256 of each agent, and the line the hub's authority; so a page without HTTPS does
//! no harm either.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The script. `@BASE_URL@` stands for where the hub is, `@AGENTS@` for a line `ARCHITECTURE SHA-256`
/// for each agent there is.
const SCRIPT: &str = include_str!("../../../deploy/install.sh");
/// An agent is some megabytes; a file that is larger is none.
const LARGEST: u64 = 64 << 20;

/// Where agents reach the hub, and whom they trust.
#[derive(Debug, Clone, Default)]
pub struct AgentSettings {
    /// SHA-256 of the authority's certificate, in hexadecimal digits.
    pub authority_sha256: String,
    /// The authority's certificate (DER).
    pub authority: Vec<u8>,
    /// `HOST:PORT` of the gRPC port, where it was configured.
    pub address: Option<String>,
    /// The port that the hub itself listens on.
    pub port: u16,
    /// Where agents lie; `None`: beside the hub's own program.
    pub directory: Option<PathBuf>,
}

impl AgentSettings {
    /// `HOST:PORT` for an agent, of a hub whose page is at `base_url`.
    #[must_use]
    pub fn address(&self, base_url: &str) -> String {
        if let Some(address) = &self.address {
            return address.clone();
        }
        let authority = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or(authority);
        let host = match authority.rfind(']') {
            Some(end) => &authority[..=end],
            None => authority.split(':').next().unwrap_or(authority),
        };
        format!("{host}:{}", self.port)
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = STANDARD.encode(&self.authority);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

/// An agent to hand out.
#[derive(Debug, Clone)]
pub struct Binary {
    /// Hexadecimal SHA-256.
    pub sha256: String,
    /// The program.
    pub bytes: Bytes,
    read: (SystemTime, u64),
}

/// The agents that there are; each is read once and again when its file changes.
#[derive(Debug, Default)]
pub struct Binaries {
    directory: Option<PathBuf>,
    read: Mutex<HashMap<PathBuf, Arc<Binary>>>,
}

impl Binaries {
    /// Those in a directory (`gander-agent-ARCHITECTURE`), or the one beside the hub's own program.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self {
            directory,
            read: Mutex::default(),
        }
    }

    /// The agent for an architecture (as `uname -m`), if there is one. Reads a file: not for a task
    /// that must not wait.
    #[must_use]
    pub fn get(&self, architecture: &str) -> Option<Arc<Binary>> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if architecture.is_empty() || architecture.len() > 32 || !architecture.chars().all(is_word) {
            return None;
        }
        self.places(architecture).iter().find_map(|path| self.load(path))
    }

    /// Every architecture there is an agent for, with the agent.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Arc<Binary>)> {
        let mut names: Vec<String> = vec![std::env::consts::ARCH.to_owned()];
        let entries = self
            .directory()
            .and_then(|directory| std::fs::read_dir(directory).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_prefix("gander-agent-").map(str::to_owned));
        }
        names.sort();
        names.dedup();
        let found = names.into_iter();
        found
            .filter_map(|name| self.get(&name).map(|binary| (name, binary)))
            .collect()
    }

    fn directory(&self) -> Option<PathBuf> {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
        self.directory.clone().or_else(beside)
    }

    fn places(&self, architecture: &str) -> Vec<PathBuf> {
        let Some(directory) = self.directory() else {
            return Vec::new();
        };
        let mut places = vec![directory.join(format!("gander-agent-{architecture}"))];
        if architecture == std::env::consts::ARCH {
            places.push(directory.join("gander-agent"));
        }
        places
    }

    fn load(&self, path: &Path) -> Option<Arc<Binary>> {
        let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let state = (about.modified().ok()?, about.len());
        let known = self
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        if let Some(known) = known.filter(|known| known.read == state) {
            return Some(known);
        }
        if about.len() > LARGEST {
            tracing::warn!(path = %path.display(), bytes = about.len(), "too large for an agent: not handed out");
            return None;
        }
        let bytes = std::fs::read(path).ok()?;
        let binary = Arc::new(Binary {
            sha256: hex(&Sha256::digest(&bytes)),
            bytes: Bytes::from(bytes),
            read: state,
        });
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(path.to_owned(), Arc::clone(&binary));
        Some(binary)
    }
}

/// The script of a hub that is reached at `base_url`.
#[must_use]
pub fn script(base_url: &str, binaries: &[(String, Arc<Binary>)]) -> String {
    let agents = binaries.iter().fold(String::new(), |mut text, (name, binary)| {
        let _ = writeln!(text, "{name} {}", binary.sha256);
        text
    });
    SCRIPT
        .replace("@BASE_URL@", base_url)
        .replace("@AGENTS@", agents.trim_end())
}

/// The one line that makes a machine an agent, with everything pinned.
#[must_use]
pub fn command(settings: &AgentSettings, base_url: &str, script: &str, token: &str) -> String {
    let sha256 = hex(&Sha256::digest(script.as_bytes()));
    let hub = settings.address(base_url);
    let ca = &settings.authority_sha256;
    // `curl -k` would do as well: whatever comes is checked before it runs.
    format!(
        "f=$(mktemp) && {{ curl -fsSL -o \"$f\" {base_url}/install.sh || wget -qO \"$f\" {base_url}/install.sh; }} && \
         echo \"{sha256}  $f\" | sha256sum -c >/dev/null && \
         $(command -v sudo) sh \"$f\" --hub {hub} --ca {ca} --token {token}; s=$?; rm -f \"$f\"; [ $s = 0 ]"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_call_the_host_of_the_page_unless_told_otherwise() {
        let mut settings = AgentSettings {
            port: 8001,
            ..AgentSettings::default()
        };
        for (page, address) in [
            ("https://gander.example.org", "gander.example.org:8001"),
            ("http://192.0.2.1:8000", "192.0.2.1:8001"),
            ("http://[2001:db8::1]:8000", "[2001:db8::1]:8001"),
            ("https://example.org/gander", "example.org:8001"),
        ] {
            assert_eq!(settings.address(page), address);
        }
        settings.address = Some("agents.example.org:443".to_owned());
        assert_eq!(
            settings.address("https://gander.example.org"),
            "agents.example.org:443"
        );
    }

    #[test]
    fn agents_are_found_by_architecture_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gander-agent-riscv64");
        std::fs::write(&file, "one").unwrap();
        std::fs::write(directory.path().join("secret"), "no").unwrap();
        let binaries = Binaries::new(Some(directory.path().to_owned()));
        let first = binaries.get("riscv64").unwrap();
        assert_eq!(first.sha256, hex(&Sha256::digest("one")));
        for other in ["", "../secret", "riscv64/../../secret", "arm", "x\0"] {
            assert!(binaries.get(other).is_none(), "{other}");
        }
        std::fs::write(&file, "another").unwrap();
        assert_eq!(&binaries.get("riscv64").unwrap().bytes[..], b"another");
        assert_eq!(binaries.all().len(), 1);
    }

    /// A shell runs the line, so what stands in it must not be able to do more than it says; and
    /// whoever changes the script on its way changes its sum.
    #[test]
    fn the_line_pins_the_script_and_the_script_the_agents() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("gander-agent-riscv64"), "one").unwrap();
        let binaries = Binaries::new(Some(directory.path().to_owned())).all();
        let script = script("http://192.0.2.1:8000", &binaries);
        assert!(script.contains(&format!("riscv64 {}", binaries[0].1.sha256)));
        assert!(script.contains("http://192.0.2.1:8000"));
        assert!(!script.contains("@BASE_URL@") && !script.contains("@AGENTS@"));
        let settings = AgentSettings {
            authority_sha256: "ab".repeat(32),
            port: 8001,
            ..AgentSettings::default()
        };
        let line = command(&settings, "http://192.0.2.1:8000", &script, "gde_token");
        assert!(line.contains(&hex(&Sha256::digest(script.as_bytes()))));
        assert!(line.contains(&format!(
            "--hub 192.0.2.1:8001 --ca {} --token gde_token",
            "ab".repeat(32)
        )));
        assert!(!line.contains('\n'));
    }
}
