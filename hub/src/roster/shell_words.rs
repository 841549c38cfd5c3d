//! Splitting a line into words with quotes, as `ssh_config` and Ansible's INI do; and reading
//! `user@host:port`.

use super::Hop;

/// The words of a line. Quotes (`"` and `'`) hold a word together; a backslash takes a quote or a
/// backslash as it is; `#` at the start of a word ends the line. An open quote is an error.
pub(super) fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        match characters.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        loop {
            match characters.next() {
                None if quote.is_some() => return Err("a quote is opened and not closed"),
                None => break,
                Some('\\')
                    if characters
                        .peek()
                        .is_some_and(|next| matches!(next, '"' | '\'' | '\\')) =>
                {
                    word.extend(characters.next());
                }
                Some(character) if Some(character) == quote => quote = None,
                Some(character @ ('"' | '\'')) if quote.is_none() => quote = Some(character),
                Some(character) if quote.is_none() && character.is_whitespace() => break,
                Some(character) => word.push(character),
            }
        }
        words.push(word);
    }
}

/// `user@host:port`, `host`, `[2001:db8::1]:22`, `ssh://user@host:port`.
pub(super) fn hop(text: &str) -> Option<Hop> {
    let text = text.trim();
    let (rest, is_uri) = match text.strip_prefix("ssh://") {
        Some(rest) => (rest.trim_end_matches('/'), true),
        None => (text, false),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    if user.as_deref().is_some_and(str::is_empty) {
        return None;
    }
    let (host, port) = if let Some(inside) = rest.strip_prefix('[') {
        let (host, after) = inside.split_once(']')?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return None,
        }
    } else if rest.matches(':').count() > 1 {
        // An IPv6 address without brackets has no port.
        (rest, None)
    } else {
        match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    let port = match port {
        None => None,
        Some("") if is_uri => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
    };
    let is_fine = !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/,\"'".contains(c));
    is_fine.then(|| Hop {
        user,
        host: host.to_owned(),
        port,
    })
}

/// `host,user@host:port,…`, or `none`. Nearest to the hub first.
pub(super) fn hops(text: &str) -> Option<Vec<Hop>> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Some(Vec::new());
    }
    text.split(',').map(hop).collect()
}

/// The jump hosts in the arguments of `ssh`: `-J a,b`, `-o ProxyJump=a`, `-o ProxyCommand="ssh -W %h:%p a"`.
/// `Err` holds the option that is not understood.
pub(super) fn jumps_of_arguments(arguments: &str) -> Result<Option<Vec<Hop>>, String> {
    let words = words(arguments).map_err(str::to_owned)?;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let value = |rest: &str, words: &mut std::vec::IntoIter<String>| match rest {
            "" => words.next().unwrap_or_default(),
            rest => rest.to_owned(),
        };
        if let Some(rest) = word.strip_prefix("-J") {
            let text = value(rest, &mut words);
            return hops(&text).map(Some).ok_or(format!("-J {text}"));
        }
        if let Some(rest) = word.strip_prefix("-o") {
            let option = value(rest, &mut words);
            let (name, text) = option
                .split_once(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or((option.as_str(), ""));
            match name.to_ascii_lowercase().as_str() {
                "proxyjump" => return hops(text).map(Some).ok_or(option.clone()),
                "proxycommand" => return jump_of_command(text).ok_or(option.clone()),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// The jump host of a `ProxyCommand` that only runs `ssh -W %h:%p host` or `ssh host nc %h %p`;
/// `Some(None)` is no command.
pub(super) fn jump_of_command(command: &str) -> Option<Option<Vec<Hop>>> {
    if command.trim().eq_ignore_ascii_case("none") {
        return Some(Some(Vec::new()));
    }
    let words = words(command).ok()?;
    let (program, arguments) = words.split_first()?;
    if program.rsplit('/').next() != Some("ssh") {
        return None;
    }
    let (mut forwards, mut user, mut port, mut host) = (false, None, None, None);
    let mut arguments = arguments.iter();
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "-W" => forwards = arguments.next().is_some(),
            "-l" => user = arguments.next().cloned(),
            "-p" => port = Some(arguments.next()?.parse().ok()?),
            "-q" | "-x" | "-a" | "-T" | "-A" | "-4" | "-6" => {}
            word if word.starts_with("-W") => forwards = true,
            word if word.starts_with('-') => return None,
            word if host.is_none() => host = Some(hop(word)?),
            "nc" | "netcat" => forwards = true,
            "%h" | "%p" => {}
            _ => return None,
        }
    }
    let mut host = host.filter(|_| forwards)?;
    host.user = host.user.or(user);
    host.port = host.port.or(port);
    Some(Some(vec![host]))
}

/// Host names with ranges: `web[01:50].example.org`, `node-[a:f]`, `10.0.0.[1:9:2]`. What holds no
/// range is itself. At most `most` names.
pub(super) fn expand(pattern: &str, most: usize) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((range, tail)) = after.split_once(']') else {
            return Err("a [ is not closed".to_owned());
        };
        let values =
            values_of(range).ok_or_else(|| format!("[{range}] is no range like [01:50] or [a:f]"))?;
        if values.len().saturating_mul(names.len()) > most {
            return Err(format!("it stands for more than {most} hosts"));
        }
        names = names
            .iter()
            .flat_map(|name| values.iter().map(move |value| format!("{name}{before}{value}")))
            .collect();
        rest = tail;
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

fn values_of(range: &str) -> Option<Vec<String>> {
    let mut parts = range.split(':');
    let (first, last) = (parts.next()?, parts.next()?);
    let step: usize = match parts.next() {
        None => 1,
        Some(step) => step.parse().ok().filter(|step| *step > 0)?,
    };
    if parts.next().is_some() {
        return None;
    }
    let letter = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(*byte),
        _ => None,
    };
    if let (Some(first), Some(last)) = (letter(first), letter(last)) {
        let values: Vec<String> = (first..=last)
            .step_by(step)
            .map(|byte| char::from(byte).to_string())
            .collect();
        return (!values.is_empty()).then_some(values);
    }
    let number = |text: &str| -> Option<u32> {
        let is_number = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    // Ansible: a range that leaves out its start begins at 0.
    let start = if first.is_empty() { 0 } else { number(first)? };
    let end = number(last)?;
    if end < start || end - start > 1_000_000 {
        return None;
    }
    let width = if first.len() > 1 && first.starts_with('0') {
        first.len()
    } else {
        0
    };
    Some(
        (start..=end)
            .step_by(step)
            .map(|value| format!("{value:0width$}"))
            .collect(),
    )
}
