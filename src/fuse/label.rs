//! `context=` and the like: what SELinux is to make of the files of a mount.
//!
//! Source: mount(8) "context=", "fscontext=", "defcontext=" and "rootcontext="; the kernel's security/selinux/hooks.c
//! takes them out of the data of mount(2) before the file system sees it, and knows a comma within double quotes only.

use std::fmt;

/// One of the options. What they mean is the kernel's affair, and which may stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelOption {
    /// The context of every file, whatever the layers say.
    Context,
    /// That of the file system itself.
    FsContext,
    /// That of files without one.
    DefContext,
    /// That of the root directory.
    RootContext,
}

impl LabelOption {
    const NAMES: [(LabelOption, &str); 4] = [
        (LabelOption::Context, "context"),
        (LabelOption::FsContext, "fscontext"),
        (LabelOption::DefContext, "defcontext"),
        (LabelOption::RootContext, "rootcontext"),
    ];

    /// The option of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| known.as_bytes() == name);
        found.map(|(option, _)| *option)
    }

    fn name(self) -> &'static str {
        // Each variant is in the table, as the test has it.
        Self::NAMES.iter().find(|(option, _)| *option == self).map_or("", |(_, name)| name)
    }
}

/// An option with its security context: neither empty, nor with anything that would end it early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    option: LabelOption,
    context: String,
}

impl Label {
    /// A label of this context, without quotes.
    ///
    /// # Errors
    /// What a context must be, where this is none. Whether SELinux knows it is not asked.
    pub fn new(option: LabelOption, context: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(context).ok().filter(|text| !text.is_empty());
        let text = text.filter(|text| !text.contains(|letter: char| letter == '"' || letter.is_control()));
        let context = text.ok_or("give a security context, as user:role:type:level")?.to_owned();
        Ok(Label { option, context })
    }

    /// Which of the options it is.
    pub fn option(&self) -> LabelOption {
        self.option
    }
}

/// As the kernel reads it, and as it is in /proc/mounts: with quotes, for the commas.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=\"{}\"", self.option.name(), self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_quoted_and_cannot_add_options() {
        for option in
            [LabelOption::Context, LabelOption::FsContext, LabelOption::DefContext, LabelOption::RootContext]
        {
            assert_eq!(LabelOption::named(option.name().as_bytes()), Some(option));
            let label = Label::new(option, b"u:r:t:s0:c1,c2").unwrap();
            assert_eq!(label.to_string(), format!("{}=\"u:r:t:s0:c1,c2\"", option.name()));
        }
        assert_eq!(LabelOption::named(b"seclabel"), None);
        for context in [&b""[..], b"a\",dev", b"a\0", b"a\n", b"\xff"] {
            assert!(Label::new(LabelOption::Context, context).is_err(), "{context:?}");
        }
    }
}
