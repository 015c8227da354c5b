//! The files of an image, in order, before they are written: the place to damage what is stored.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::tar::{Entry, TarBuilder};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    Link(String),
}

/// Names with their content, in the order in which an archive has them.
#[derive(Debug, Clone, Default)]
pub struct Files(Vec<(String, Content)>);

impl Files {
    /// Adds a file; one of the same name stays as it is, since blobs are named by what is in them.
    pub fn put(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let name = name.into();
        if !self.0.iter().any(|(there, _)| *there == name) {
            self.0.push((name, Content::Bytes(bytes.into())));
        }
    }

    pub fn put_json(&mut self, name: impl Into<String>, value: &Value) {
        self.put(name, value.to_string());
    }

    pub fn put_link(&mut self, name: impl Into<String>, target: impl Into<String>) {
        self.0.push((name.into(), Content::Link(target.into())));
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// A file's content; not that of a link.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find_map(|(there, content)| match content {
            Content::Bytes(bytes) if there == name => Some(&bytes[..]),
            _ => None,
        })
    }

    #[track_caller]
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.file(name)
            .unwrap_or_else(|| panic!("no file {name} among {:?}", self.names().collect::<Vec<_>>()))
    }

    #[track_caller]
    pub fn bytes_mut(&mut self, name: &str) -> &mut Vec<u8> {
        match self.0.iter_mut().find(|(there, _)| there == name) {
            Some((_, Content::Bytes(bytes))) => bytes,
            _ => panic!("no file {name}"),
        }
    }

    /// Damage: the file is gone.
    #[track_caller]
    pub fn remove(mut self, name: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|(there, _)| there != name);
        assert_eq!(self.0.len() + 1, before, "no file {name}");
        self
    }

    /// Damage: the file has its first `len` bytes only.
    #[track_caller]
    pub fn truncate(mut self, name: &str, len: usize) -> Self {
        let bytes = self.bytes_mut(name);
        assert!(bytes.len() > len, "{name} has {} bytes only", bytes.len());
        bytes.truncate(len);
        self
    }

    /// Damage: one bit of the file is another; its size stays.
    #[track_caller]
    pub fn flip(mut self, name: &str, at: usize) -> Self {
        self.bytes_mut(name)[at] ^= 1;
        self
    }

    /// Damage: other content.
    #[track_caller]
    pub fn replace(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        *self.bytes_mut(name) = bytes.into();
        self
    }

    /// Damage: a file of JSON, changed.
    #[track_caller]
    pub fn edit_json(mut self, name: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(self.bytes(name)).expect("JSON");
        edit(&mut value);
        *self.bytes_mut(name) = value.to_string().into_bytes();
        self
    }

    /// Writes all into a new directory.
    #[track_caller]
    pub fn to_dir(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("a directory");
        for (name, content) in &self.0 {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("below the directory")).expect("a directory");
            match content {
                Content::Bytes(bytes) => fs::write(&path, bytes).expect("a file"),
                Content::Link(target) => std::os::unix::fs::symlink(target, &path).expect("a link"),
            }
        }
    }

    /// All as a tar, directories first met first, as `docker save` writes it.
    pub fn archive(&self) -> Vec<u8> {
        let mut tar = TarBuilder::new();
        let mut known = BTreeSet::new();
        for (name, content) in &self.0 {
            for (at, _) in name.match_indices('/') {
                if known.insert(&name[..at]) {
                    tar = tar.add(Entry::dir(&name[..at]).mtime(0, 0));
                }
            }
            tar = tar.add(match content {
                Content::Bytes(bytes) => Entry::file(name, bytes).mtime(0, 0),
                Content::Link(target) => Entry::symlink(name, target).mtime(0, 0),
            });
        }
        tar.finish_padded(2)
    }

    /// Writes all as a tar.
    #[track_caller]
    pub fn to_archive(&self, file: &Path) {
        fs::write(file, self.archive()).expect("an archive");
    }
}
