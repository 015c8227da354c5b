//! Mount options: the words after `-o`, parsed into values.
//!
//! Sources: the kernel's Documentation/filesystems/overlayfs.rst, fuse-overlayfs(1), mount(8), mount.fuse3(8).

mod known;
mod resolve;
mod split;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use known::{TAKEN, TAKEN_WITH_VALUE, UNSUPPORTED};
pub use resolve::{
    Access, Enforce, Form, MountFlags, behaviour, labels, mount_flags, permission_checks,
    readable_by_the_next, record_owners, summary, summary_of_flags,
};

use crate::config::{
    Acl, Durability, IdRange, Index, Io, Namespace, RedirectDir, StatOverride, Whiteouts, Xattrs, Xino,
};
use crate::fuse::{Label, LabelOption};
use crate::source::{LayerList, unescape};

/// An option that is either asked for or refused (`suid`, `nosuid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Switch {
    On,
    Off,
}

/// All options as they were given; `None` and empty mean that nobody said anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each is the option of its name
pub struct Options {
    pub lowers: Vec<PathBuf>,
    pub data_only: Vec<PathBuf>,
    pub upper: Option<PathBuf>,
    pub work: Option<PathBuf>,
    /// `ro` is `On`, `rw` is `Off`.
    pub read_only: Option<Switch>,
    pub redirect_dir: Option<RedirectDir>,
    pub index: Option<Index>,
    pub xino: Option<Xino>,
    pub namespace: Option<Namespace>,
    pub whiteouts: Option<Whiteouts>,
    pub durability: Option<Durability>,
    pub acl: Option<Acl>,
    pub xattrs: Option<Xattrs>,
    pub uid_map: Vec<IdRange>,
    pub gid_map: Vec<IdRange>,
    pub squash_root: Option<Switch>,
    pub squash_uid: Option<u32>,
    pub squash_gid: Option<u32>,
    pub stat_override: Option<StatOverride>,
    pub static_nlink: Option<Switch>,
    pub ino32: Option<Switch>,
    pub timeout: Option<Duration>,
    pub io: Option<Io>,
    pub metacopy: Option<Switch>,
    pub access: Option<Access>,
    pub permissions: Option<Switch>,
    pub suid: Option<Switch>,
    pub dev: Option<Switch>,
    pub exec: Option<Switch>,
    pub atime: Option<Switch>,
    /// `nodiratime` is `Off`.
    pub dir_atime: Option<Switch>,
    pub sync: Option<Switch>,
    pub dir_sync: Option<Switch>,
    pub nonempty: Option<Switch>,
    /// The flags of a mount that stands are changed, and nothing is mounted.
    pub remount: Option<Switch>,
    pub debug: Option<Switch>,
    /// `context=` and the like, each at most once.
    pub labels: Vec<Label>,
    /// `fsname=`: the first field of /proc/mounts.
    pub source_name: Option<String>,
    /// `max_threads=`.
    pub threads: Option<usize>,
    /// Options that are understood or not, and in either case not honoured.
    pub unhonoured: Vec<Unhonoured>,
}

/// An option that was given and has no effect: an error on `lamina mount`, a warning elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhonoured {
    /// As it was given.
    pub option: String,
    /// Why it has no effect.
    pub why: Why,
}

/// Why an option has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody knows it.
    Unknown,
    /// It is a flag, and was given a value.
    NoValue,
    /// It is known, and not supported, for this reason.
    Unsupported(&'static str),
    /// It is supported, and has no effect here, for this reason.
    Void(&'static str),
}

impl fmt::Display for Unhonoured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Unknown => write!(f, "unknown option '{}'", self.option),
            Why::NoValue => {
                let name = self.option.split('=').next().unwrap_or_default();
                write!(f, "option '{name}' takes no value ('{}')", self.option)
            }
            Why::Unsupported(reason) => write!(f, "option '{}' is not supported: {reason}", self.option),
            Why::Void(reason) => write!(f, "option '{}' has no effect: {reason}", self.option),
        }
    }
}

/// An option that makes no sense: an error on every command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The value is not one of those it may be.
    #[error("option '{option}': {expected}")]
    Value {
        /// As it was given.
        option: String,
        /// What it should have been.
        expected: String,
    },
    /// It says nothing without a value.
    #[error("option '{name}' needs a value: {name}=...")]
    NeedsValue {
        /// Its name.
        name: String,
    },
    /// The whole text is malformed.
    #[error("options '{text}': {problem}")]
    Text {
        /// As it was given.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Options {
    /// Parses the text of one `-o` after what came before: a later option wins, as in mount(8).
    ///
    /// A comma in a value is written `\,`, or the value stands in double quotes (`context="a,b"`).
    pub fn parse(&mut self, text: &[u8]) -> Result<(), OptionError> {
        let whole = || text.escape_ascii().to_string();
        let words = split::options(text).map_err(|problem| OptionError::Text { text: whole(), problem })?;
        for word in words {
            self.apply(&word)?;
        }
        Ok(())
    }

    fn apply(&mut self, word: &split::Word) -> Result<(), OptionError> {
        let Ok(name) = std::str::from_utf8(&word.name) else {
            self.ignore(word, Why::Unknown);
            return Ok(());
        };
        let done = match &word.value {
            None => self.apply_flag(name),
            Some(value) => self.apply_value(word, name, value)?,
        };
        if done == Taken::No {
            return self.apply_rest(word, name);
        }
        Ok(())
    }

    /// What does not change the mount: taken, known and unsupported, or unknown.
    fn apply_rest(&mut self, word: &split::Word, name: &str) -> Result<(), OptionError> {
        let asks_nothing = match &word.value {
            None => TAKEN.contains(&name),
            Some(_) => TAKEN_WITH_VALUE.contains(&name),
        };
        if asks_nothing || name.starts_with("x-") || name.starts_with("X-") {
            return Ok(());
        }
        // What is switched off, or left to us, is as asked.
        let as_it_is = matches!(
            (name, word.value.as_deref()),
            ("nfs_export" | "verity" | "override_creds", Some(b"off"))
                | ("uuid", Some(b"auto" | b"null"))
                | ("writeback" | "fast_ino" | "fast_ino_check", Some(b"0"))
                | ("plugins", Some(b""))
        );
        if as_it_is {
            return Ok(());
        }
        // Tried on other options: does the name mean something in its other form?
        let mut other = Options::default();
        match &word.value {
            None if !matches!(other.apply_value(word, name, b""), Ok(Taken::No)) => {
                return Err(OptionError::NeedsValue { name: name.to_owned() });
            }
            Some(_) if other.apply_flag(name) == Taken::Yes => {
                self.ignore(word, Why::NoValue);
                return Ok(());
            }
            _ => {}
        }
        let known = UNSUPPORTED.iter().find(|(known, _)| *known == name);
        self.ignore(word, known.map_or(Why::Unknown, |(_, reason)| Why::Unsupported(reason)));
        Ok(())
    }

    fn ignore(&mut self, word: &split::Word, why: Why) {
        self.unhonoured.push(Unhonoured { option: word.to_string(), why });
    }

    fn label(&mut self, label: Label) {
        self.labels.retain(|former| former.option() != label.option());
        self.labels.push(label);
    }

    /// The two exclude each other: of both, the later one counts.
    fn allow(&mut self, access: Access) {
        let overruled = match (self.access, access) {
            (Some(Access::Everyone), Access::OwnerAndRoot) => Some(("allow_other", "allow_root follows it")),
            (Some(Access::OwnerAndRoot), Access::Everyone) => Some(("allow_root", "allow_other follows it")),
            _ => None,
        };
        if let Some((option, reason)) = overruled {
            self.unhonoured.push(Unhonoured { option: option.to_owned(), why: Why::Void(reason) });
        }
        self.access = Some(access);
    }

    /// `fsync=`: numbers are fuse-overlayfs's, words the kernel's.
    fn sync_copies(&mut self, value: &Value<'_>) -> Result<(), OptionError> {
        let values = [
            ("1", Durability::SyncCopyUp),
            ("0", Durability::None),
            ("auto", Durability::SyncCopyUp),
            ("strict", Durability::SyncCopyUp),
            ("volatile", Durability::Volatile),
        ];
        let durability = value.one_of(&values)?;
        if value.bytes == b"strict" {
            self.ignore(
                value.word,
                Why::Unsupported("copies of files are synced, those of directories are not"),
            );
        }
        // volatile asks for more than fsync=0 does.
        if self.durability != Some(Durability::Volatile) || !matches!(value.bytes, b"0" | b"1") {
            self.durability = Some(durability);
        }
        Ok(())
    }

    fn apply_flag(&mut self, name: &str) -> Taken {
        match name {
            "ro" => self.read_only = Some(Switch::On),
            "rw" => self.read_only = Some(Switch::Off),
            "userxattr" => self.namespace = Some(Namespace::User),
            "volatile" => self.durability = Some(Durability::Volatile),
            "noacl" => self.acl = Some(Acl::Off),
            "acl" => self.acl = Some(Acl::On),
            "noxattrs" => self.xattrs = Some(Xattrs::Off),
            "squash_to_root" => self.squash_root = Some(Switch::On),
            "static_nlink" => self.static_nlink = Some(Switch::On),
            "ino32_t" => self.ino32 = Some(Switch::On),
            "allow_other" => self.allow(Access::Everyone),
            "allow_root" => self.allow(Access::OwnerAndRoot),
            "default_permissions" => self.permissions = Some(Switch::On),
            "suid" => self.suid = Some(Switch::On),
            "nosuid" => self.suid = Some(Switch::Off),
            "dev" => self.dev = Some(Switch::On),
            "nodev" => self.dev = Some(Switch::Off),
            "exec" => self.exec = Some(Switch::On),
            "noexec" => self.exec = Some(Switch::Off),
            "atime" => self.atime = Some(Switch::On),
            "noatime" => self.atime = Some(Switch::Off),
            "diratime" => self.dir_atime = Some(Switch::On),
            "nodiratime" => self.dir_atime = Some(Switch::Off),
            "sync" => self.sync = Some(Switch::On),
            "async" => self.sync = Some(Switch::Off),
            "dirsync" => self.dir_sync = Some(Switch::On),
            "nonempty" => self.nonempty = Some(Switch::On),
            "remount" => self.remount = Some(Switch::On),
            "debug" => self.debug = Some(Switch::On),
            _ => return Taken::No,
        }
        Taken::Yes
    }

    fn apply_value(&mut self, word: &split::Word, name: &str, value: &[u8]) -> Result<Taken, OptionError> {
        let value = Value { word, bytes: value };
        match name {
            "lowerdir" => {
                let list = LayerList::parse(value.bytes).map_err(|error| value.wrong(error.to_string()))?;
                (self.lowers, self.data_only) = (list.lowers, list.data_only);
            }
            "lowerdir+" if !self.data_only.is_empty() => {
                return Err(value.wrong("an ordinary layer follows a data-only layer"));
            }
            "lowerdir+" => self.lowers.push(value.path()?),
            "datadir+" if self.lowers.is_empty() => {
                return Err(value.wrong("a data-only layer needs an ordinary layer before it"));
            }
            "datadir+" => self.data_only.push(value.path()?),
            "upperdir" => self.upper = Some(value.path()?),
            "workdir" => self.work = Some(value.path()?),
            "redirect_dir" => {
                self.redirect_dir = Some(value.one_of(&[
                    ("on", RedirectDir::On),
                    ("follow", RedirectDir::Follow),
                    ("nofollow", RedirectDir::NoFollow),
                    // As the kernel with redirect_always_follow=Y, its usual build.
                    ("off", RedirectDir::Follow),
                ])?);
            }
            "index" => self.index = Some(value.one_of(&[("on", Index::On), ("off", Index::Off)])?),
            "xino" => {
                let values = [("on", Xino::On), ("auto", Xino::Auto), ("off", Xino::Off)];
                self.xino = Some(value.one_of(&values)?);
            }
            "metacopy" => self.metacopy = Some(value.one_of(&[("on", Switch::On), ("off", Switch::Off)])?),
            "whiteouts" => {
                let values = [
                    ("auto", Whiteouts::Auto),
                    ("kernel", Whiteouts::Kernel),
                    ("unionfs-fuse", Whiteouts::UnionfsFuse),
                ];
                self.whiteouts = Some(value.one_of(&values)?);
            }
            // fuse-overlayfs 2 takes the second for the first; without a value it is mount(8)'s.
            "fsync" | "sync" => self.sync_copies(&value)?,
            "noxattrs" => self.xattrs = Some(value.one_of(&[("1", Xattrs::Off), ("0", Xattrs::On)])?),
            "uidmapping" => self.uid_map = value.id_ranges()?,
            "gidmapping" => self.gid_map = value.id_ranges()?,
            "squash_to_uid" => self.squash_uid = Some(value.number("a user id")?),
            "squash_to_gid" => self.squash_gid = Some(value.number("a group id")?),
            "xattr_permissions" => {
                let values = [
                    ("0", StatOverride::Off),
                    ("1", StatOverride::Privileged),
                    ("2", StatOverride::Containers),
                ];
                self.stat_override = Some(value.one_of(&values)?);
            }
            "timeout" => self.timeout = Some(value.seconds()?),
            "io" => {
                self.io =
                    Some(value.one_of(&[("auto", Io::Auto), ("cached", Io::Cached), ("open", Io::Open)])?);
            }
            "fsname" if value.bytes.is_empty() => return Err(value.wrong("give a name")),
            "fsname" => self.source_name = Some(String::from_utf8_lossy(&value.unescaped()?).into_owned()),
            "max_threads" => self.threads = Some(value.threads()?),
            "threaded" => {
                if value.one_of(&[("0", Switch::Off), ("1", Switch::On)])? == Switch::Off {
                    self.threads = Some(1);
                }
            }
            _ => match LabelOption::named(name.as_bytes()) {
                Some(option) => self.label(value.label(option)?),
                None => return Ok(Taken::No),
            },
        }
        Ok(Taken::Yes)
    }
}

/// Whether an option changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
}

/// One option's value, and how it was given.
struct Value<'a> {
    word: &'a split::Word,
    bytes: &'a [u8],
}

impl Value<'_> {
    fn wrong(&self, expected: impl Into<String>) -> OptionError {
        OptionError::Value { option: self.word.to_string(), expected: expected.into() }
    }

    fn unescaped(&self) -> Result<Vec<u8>, OptionError> {
        unescape(self.bytes).map_err(|error| self.wrong(error.to_string()))
    }

    fn path(&self) -> Result<PathBuf, OptionError> {
        match self.unescaped()? {
            path if path.is_empty() => Err(self.wrong("give a directory")),
            path => Ok(PathBuf::from(OsString::from_vec(path))),
        }
    }

    fn one_of<T: Copy>(&self, values: &[(&str, T)]) -> Result<T, OptionError> {
        let found = values.iter().find(|(name, _)| name.as_bytes() == self.bytes);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
            self.wrong(format!("give one of {}", names.join(", ")))
        })
    }

    fn label(&self, option: LabelOption) -> Result<Label, OptionError> {
        Label::new(option, &self.unescaped()?).map_err(|expected| self.wrong(expected))
    }

    fn number(&self, what: &str) -> Result<u32, OptionError> {
        let number = std::str::from_utf8(self.bytes).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.wrong(format!("give {what}, a number up to {}", u32::MAX)))
    }

    fn threads(&self) -> Result<usize, OptionError> {
        match self.number("a number of threads")? {
            0 => Err(self.wrong("give at least one thread")),
            threads => Ok(threads as usize),
        }
    }

    fn seconds(&self) -> Result<Duration, OptionError> {
        let seconds = std::str::from_utf8(self.bytes).ok().and_then(|text| text.parse().ok());
        seconds
            .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| self.wrong("give seconds, 0 or more, with a fraction if you like"))
    }

    /// `ID:MAPPED:LEN[:...]`: ids from ID in the layers are shown as ids from MAPPED (tried with fuse-overlayfs 1.10:
    /// `uidmapping=0:1000:1` shows a file of user 0 as one of user 1000). podman puts a colon before the first, too.
    fn id_ranges(&self) -> Result<Vec<IdRange>, OptionError> {
        let expected =
            "give ID:MAPPED:LEN, or several of them with colons or commas between; each id below 4294967295";
        let text = std::str::from_utf8(self.bytes).map_err(|_| self.wrong(expected))?;
        let text = text.strip_prefix(':').unwrap_or(text);
        let numbers: Result<Vec<u32>, _> = text.split([':', ',']).map(str::parse).collect();
        let numbers = numbers.map_err(|_| self.wrong(expected))?;
        let (ranges, rest) = numbers.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(self.wrong(expected));
        }
        let range = |&[outside, inside, len]: &[u32; 3]| {
            // The last id, 4294967295, means "no id" in the kernel.
            let fits = len > 0 && outside.checked_add(len).is_some() && inside.checked_add(len).is_some();
            fits.then_some(IdRange { inside, outside, len }).ok_or_else(|| self.wrong(expected))
        };
        ranges.iter().map(range).collect()
    }
}
