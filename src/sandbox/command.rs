//! What is run: the words, the environment and the directory, from the image's config and what the caller says instead.
//!
//! As podman-run(1) has it: words of the caller take the place of Cmd, `--entrypoint` takes that of Entrypoint and of Cmd.

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::image::ImageConfig;

/// Where programs are looked for, unless the image says otherwise: podman's default.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is run where neither the caller nor an image says.
pub const SHELL: &str = "/bin/sh";

/// `--entrypoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrypoint(pub Vec<OsString>);

impl Entrypoint {
    /// One program, or a JSON list of words; an empty word is none at all.
    pub fn parse(word: &OsStr) -> Self {
        let list = word.to_str().and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
        Entrypoint(match list {
            Some(words) => words.into_iter().map(OsString::from).collect(),
            None if word.is_empty() => Vec::new(),
            None => vec![word.to_owned()],
        })
    }
}

/// The words of the command; never empty.
pub fn words(
    config: Option<&ImageConfig>,
    entrypoint: Option<&Entrypoint>,
    command: &[OsString],
) -> Vec<OsString> {
    let of_image = |words: fn(&ImageConfig) -> &Vec<String>| -> Vec<OsString> {
        config.map(words).into_iter().flatten().map(OsString::from).collect()
    };
    let mut all = match entrypoint {
        Some(Entrypoint(words)) => words.clone(),
        None => of_image(|config| &config.entrypoint),
    };
    match (command, entrypoint) {
        // Cmd is made for the image's own entrypoint.
        ([], None) => all.extend(of_image(|config| &config.cmd)),
        (command, _) => all.extend(command.iter().cloned()),
    }
    if all.is_empty() {
        all.push(SHELL.into());
    }
    all
}

/// A variable as `-e` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    name: OsString,
    /// `None`: as the caller has it.
    value: Option<OsString>,
}

impl Variable {
    /// `NAME=VALUE`, or `NAME` alone.
    ///
    /// # Errors
    /// Gives the word back where it has no name.
    pub fn parse(word: &OsStr) -> Result<Self, &OsStr> {
        let (name, value) = split(word.as_bytes());
        match name.is_empty() {
            true => Err(word),
            false => {
                Ok(Variable { name: OsStr::from_bytes(name).to_owned(), value: value.map(OsStr::to_owned) })
            }
        }
    }
}

fn split(word: &[u8]) -> (&[u8], Option<&OsStr>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..).map(OsStr::from_bytes)),
        None => (word, None),
    }
}

/// The environment, each name once, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What lamina says, under what the image says, under what the caller says. `own` looks up a variable of the caller.
    pub fn new(
        defaults: &[(&str, OsString)],
        config: Option<&ImageConfig>,
        asked: &[Variable],
        own: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Self {
        let mut environment = Environment::default();
        for (name, value) in defaults {
            environment.set(OsStr::new(name), value.clone());
        }
        for line in config.map(|config| &config.env).into_iter().flatten() {
            if let (name, Some(value)) = split(line.as_bytes()) {
                environment.set(OsStr::from_bytes(name), value.to_owned());
            }
        }
        for Variable { name, value } in asked {
            // One that the caller does not have is not made up.
            if let Some(value) = value.clone().or_else(|| own(name)) {
                environment.set(name, value);
            }
        }
        environment
    }

    fn set(&mut self, name: &OsStr, value: OsString) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Sets a variable that nobody has set.
    pub fn set_default(&mut self, name: &str, value: impl Into<OsString>) {
        if self.get(name).is_none() {
            self.0.push((name.into(), value.into()));
        }
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// `NAME=VALUE` each, as execve(2) takes them.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let line = |(name, value): &(OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        self.0.iter().map(line).collect()
    }
}

/// The files that may be meant by the first word: itself where it has a slash, else one in each directory of PATH; none where
/// it is empty.
pub fn candidates(word: &OsStr, path: &OsStr) -> Vec<OsString> {
    if word.is_empty() {
        return Vec::new();
    }
    if word.as_bytes().contains(&b'/') {
        return vec![word.to_owned()];
    }
    let join = |dir: &[u8]| {
        let dir = if dir.is_empty() { b"." } else { dir };
        OsString::from_vec([dir, b"/", word.as_bytes()].concat())
    };
    path.as_bytes().split(|byte| *byte == b':').map(join).collect()
}
