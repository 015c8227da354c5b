//! Where podman and buildah keep their images.
//!
//! Source: containers-storage.conf(5). Of the configuration `graphroot` and `rootless_storage_path` are read, and nothing else.

use std::path::{Path, PathBuf};

/// What decides where the store is.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Whose store: the system's or a user's. As for podman, who is in `podman unshare` is a user still.
    pub rootless: bool,
    /// The user's id.
    pub uid: u32,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_DATA_HOME`.
    pub data_home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `$CONTAINERS_STORAGE_CONF`.
    pub configuration: Option<PathBuf>,
}

impl Environment {
    /// This process's.
    pub fn of_this_process() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let uid = nix::unistd::geteuid().as_raw();
        Environment {
            rootless: uid != 0 || path("_CONTAINERS_USERNS_CONFIGURED").is_some(),
            uid,
            home: path("HOME"),
            data_home: path("XDG_DATA_HOME"),
            config_home: path("XDG_CONFIG_HOME"),
            configuration: path("CONTAINERS_STORAGE_CONF"),
        }
    }

    /// The store's root. `read` gives a configuration's text, `None` where there is no such file. `None` without a home.
    pub fn store(&self, read: impl Fn(&Path) -> Option<String>) -> Option<PathBuf> {
        let system =
            ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"].map(PathBuf::from);
        let system = || system.iter().find_map(|path| read(path));
        if let Some(text) = self.configuration.as_deref().and_then(&read) {
            return self.expanded(&text, "graphroot").or_else(|| self.default_store());
        }
        if !self.rootless {
            return system()
                .and_then(|text| self.expanded(&text, "graphroot"))
                .or_else(|| self.default_store());
        }
        let own = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        let own = own.and_then(|dir| read(&dir.join("containers/storage.conf")));
        own.and_then(|text| self.expanded(&text, "graphroot"))
            .or_else(|| system().and_then(|text| self.expanded(&text, "rootless_storage_path")))
            .or_else(|| self.default_store())
    }

    fn default_store(&self) -> Option<PathBuf> {
        if !self.rootless {
            return Some(PathBuf::from("/var/lib/containers/storage"));
        }
        let data = self.data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")))?;
        Some(data.join("containers/storage"))
    }

    /// A path of the configuration, with `$HOME`, `$UID` and `$USER`'s id put in.
    fn expanded(&self, text: &str, key: &str) -> Option<PathBuf> {
        let value = setting(text, key)?;
        let home = self.home.as_ref().map(|home| home.display().to_string()).unwrap_or_default();
        let value = value.replace("$HOME", &home).replace("$UID", &self.uid.to_string());
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    }
}

/// A text of the section `[storage]`, from the part of TOML that is in use for it: one line, one string.
fn setting(text: &str, key: &str) -> Option<String> {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap_or_default().trim();
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        if section != "storage" || name.trim() != key {
            continue;
        }
        let value = value.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let value = value.get(1..)?.split(quote).next()?;
        return Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_where_podman_looks() {
        let user =
            Environment { rootless: true, uid: 1000, home: Some("/home/u".into()), ..Environment::default() };
        let root = Environment { home: Some("/root".into()), ..Environment::default() };
        let configured =
            Environment { configuration: Some("/c".into()), config_home: Some("/x".into()), ..user.clone() };
        let own = "/home/u/.config/containers/storage.conf";
        let system = "/etc/containers/storage.conf";
        let conf = |key: &str| {
            format!(
                "# graphroot = \"/no\"\n[storage]\n driver = \"overlay\"\n{key}\n[storage.options]\ngraphroot = \"/no\"\n"
            )
        };
        for (environment, file, text, expected) in [
            (&root, "", String::new(), "/var/lib/containers/storage"),
            (&root, system, conf("graphroot = \"/s\" # here"), "/s"),
            (&root, system, conf("#graphroot = \"/s\""), "/var/lib/containers/storage"),
            (&user, "", String::new(), "/home/u/.local/share/containers/storage"),
            (&user, own, conf("graphroot='/mine'"), "/mine"),
            (&user, system, conf("graphroot = \"/s\""), "/home/u/.local/share/containers/storage"),
            (&user, system, conf("rootless_storage_path = \"$HOME/$UID/s\""), "/home/u/1000/s"),
            (&configured, "/c", conf("graphroot = \"$HOME/s\""), "/home/u/s"),
            (&configured, "/c", conf("graphroot = 5"), "/home/u/.local/share/containers/storage"),
        ] {
            let store = environment.store(|path| (path == Path::new(file)).then(|| text.clone()));
            assert_eq!(store, Some(PathBuf::from(expected)), "{environment:?} {text}");
        }
        let nobody = Environment { rootless: true, ..Environment::default() };
        assert_eq!(nobody.store(|_| None), None);
    }
}
