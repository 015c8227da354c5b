//! Words of a command that can be pasted.

/// A word as a shell takes it, in quotes where that must be; what is not text, or moves the cursor of a terminal, as bash, zsh and ksh do (`$'\377'`).
pub fn quoted(word: &[u8]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    match str::from_utf8(word) {
        Ok(word) if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        Ok(word) if !word.chars().any(char::is_control) => format!("'{}'", word.replace('\'', r"'\''")),
        _ => {
            let byte = |byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                byte => format!("\\{byte:03o}"),
            };
            format!("$'{}'", word.iter().map(byte).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_it_as_the_word_it_was() {
        for (word, expected) in [
            (&b"app.tar"[..], "app.tar"),
            (b"docker-archive:/srv/app.tar:1.2", "docker-archive:/srv/app.tar:1.2"),
            (b"", "''"),
            (b"my app.tar", "'my app.tar'"),
            ("b\u{fc}cher".as_bytes(), "'b\u{fc}cher'"),
            (b"it's", r"'it'\''s'"),
            (b"a\nb'\xff", r"$'a\012b\'\377'"),
        ] {
            assert_eq!(quoted(word), expected, "{}", word.escape_ascii());
        }
    }
}
