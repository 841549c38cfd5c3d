//! Where a hub is: `host`, `host:port`, `192.0.2.1:8001`, `[2001:db8::1]:8001`.

/// The port agents call unless another is given.
pub const DEFAULT_PORT: u16 = 8001;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |what: &str| {
            Err(format!(
                "{text:?} is no address: {what}. Write HOST:PORT, as in hub.example:8001"
            ))
        };
        if text.contains("://") || text.contains('/') {
            return wrong("it is a URL");
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
                None => return wrong("the ] is missing"),
            }
        } else if text.matches(':').count() > 1 {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return wrong("the port is not a number from 1 to 65535"),
            },
        };
        if host.is_empty()
            || host.contains(|character: char| character.is_whitespace() || character.is_control())
        {
            return wrong("the host is missing");
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        for (text, host, port) in [
            ("hub", "hub", 8001),
            ("hub.example:9000", "hub.example", 9000),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("::1", "::1", 8001),
            ("[::1]", "::1", 8001),
            ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for text in [
            "",
            ":8001",
            "hub:",
            "hub:0",
            "hub:70000",
            "https://hub:8001",
            "[::1",
            "[::1]8001",
            "a b:1",
        ] {
            let said = text.parse::<Address>().unwrap_err();
            assert!(said.contains("hub.example:8001"), "{said}");
        }
    }
}
